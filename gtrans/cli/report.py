"""``gtrans report``: the evaluation report of a registered version."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.options import Category, ProfileName, Store


def report(
    category: Category,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; default: the champion.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Fetch the report of a version, and say where it lies.

    By default of the champion, or of the challenger where nothing was promoted yet.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.storage import write_atomic
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.registry.origin import report_of
    from gtrans_core.tracking.registry.versions import version_in_use

    profile = load_profile(profile_name, store=store)
    client = connect_existing(profile.tracking_uri)
    number = version or version_in_use(client, category).version
    path = Path(profile.store) / "reports" / f"{category}-{number}.html"
    write_atomic(path, report_of(client, category, number))
    typer.echo(path)
    if open_it and not webbrowser.open(path.as_uri()):
        typer.echo("no browser here; open that file with one")

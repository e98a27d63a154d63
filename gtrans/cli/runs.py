"""``gtrans runs``: what runs on a Kubeflow cluster, and what is to run again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.options import AsJson, Host, Namespace, ProfileName
from gtrans.cli.shared.plain_json import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def runs(
    host: Host = "",
    namespace: Namespace = "",
    profile_name: ProfileName = "cluster-cpu",
    last: Annotated[int, typer.Option("--last", min=1, max=200, help="How many.")] = 20,
    schedules: Annotated[
        bool, typer.Option("--schedules", help="What is scheduled, instead of runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the newest runs on Kubeflow, or the schedules."""
    from gtrans.cli.shared.cluster import connected
    from gtrans.pipelines.cluster.submit import list_runs, list_schedules

    _, server = connected(profile_name, host, namespace)
    if schedules:
        headings = ("schedule", "name", "cron", "state")
        rows = [
            (one.schedule_id, one.name, one.cron, "on" if one.enabled else "off")
            for one in list_schedules(server, last)
        ]
    else:
        headings = ("run", "name", "state", "started (UTC)")
        rows = [(run.run_id, run.name, run.state, run.created) for run in list_runs(server, last)]
    if as_json:
        names = [heading.removesuffix(" (UTC)") for heading in headings]
        print_json([dict(zip(names, row, strict=True)) for row in rows])
    else:
        _show(headings, rows)


def _show(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    from gtrans.cli.shared.outside_text import cell

    table = Table(box=None)
    for heading in headings:
        # An id is copied whole.
        table.add_column(heading, no_wrap=heading in ("run", "schedule"))
    for row in rows:
        table.add_row(*map(cell, row))
    Console().print(table)

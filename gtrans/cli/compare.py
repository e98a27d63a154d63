"""``gtrans compare``: runs of one category side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.completion import categories
from gtrans.cli.shared.options import AsJson, ProfileName, Store
from gtrans.cli.shared.plain_json import print_json

if TYPE_CHECKING:
    from rich.console import Console

    from gtrans_core.tracking.comparison import Comparison


_WIDTH = 100


def compare(
    category: Annotated[
        str,
        typer.Option(
            "--category",
            "-c",
            help="Name of the category, such as bottle.",
            autocompletion=categories,
        ),
    ],
    last: Annotated[int, typer.Option("--last", min=1, help="How many of the newest runs.")] = 20,
    runs: Annotated[
        list[str] | None,
        typer.Option("--runs", metavar="ID", help="Only these runs; the start of an id is enough."),
    ] = None,
    by: Annotated[
        str,
        typer.Option("--by", metavar="METRIC", help="Metric to rank by, by its name in MLflow."),
    ] = "image_auroc",
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="MLflow experiment; default: the profile's.")
    ] = None,
    as_json: AsJson = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Rank the runs of a category, with what differs between them.

    Runs that differ in nothing but the seed are one row: mean ± standard deviation over the seeds.
    Then the challenger beside the champion: what each kind loses or gains, and which images.
    """
    from rich.console import Console

    from gtrans.cli.shared import comparison_view as view
    from gtrans.cli.shared.summary import record_lines
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.comparison import compare as compared

    profile = load_profile(profile_name, store=store, experiment=experiment)
    client = connect_existing(profile.tracking_uri)
    found = compared(client, profile.experiment, category, by, last, runs or ())
    if as_json:
        print_json(view.plain(found, category, by))
        return
    # A narrower terminal breaks lines, which loses nothing; a table would drop what does not fit.
    console = Console(width=max(_WIDTH, Console().width))
    _print_title(console, f"{category}: test split, ranked by {by}")
    console.print(view.versions_table(found))
    console.print()
    console.print(view.metrics_table(found))
    same_config = "All have the same config, but for the seed"
    _print_title(console, "\nWhat differs" if found.differing else f"\n{same_config}")
    for table in view.differences_tables(found):
        console.print(table)
    _print_duel(console, found)
    lines = ["", _data_line(found), "", "Compare in MLflow:"]
    lines += record_lines(profile.tracking_uri, found.page)
    # Not wrapped: an address is copied whole.
    console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


def _print_duel(console: Console, found: Comparison) -> None:
    from gtrans.cli.shared import comparison_view as view

    duel = found.duel
    if duel is None:
        return
    title = f"\nChallenger (version {duel.challenger}) against champion (version {duel.champion})"
    _print_title(console, title)
    if duel.contest is not None:
        console.print(view.duel_table(duel, duel.contest))
    for line in view.duel_lines(duel):
        console.print(line, soft_wrap=True, markup=False, highlight=False)


def _print_title(console: Console, text: str) -> None:
    # Not the table's own title, which wraps where the table is narrow.
    console.print(text, style="italic", soft_wrap=True, markup=False, highlight=False)


def _data_line(found: Comparison) -> str:
    if found.same_data:
        return "Data     the same for all"
    return "Data     NOT the same for all: metrics on different data cannot be compared"

"""``gtrans compare``: runs of one category side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.completion import categories
from gtrans.cli.shared.options import ProfileName, Store
from gtrans_core.evaluation.metric_names import labels_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from gtrans_core.evaluation.spread import Spread
    from gtrans_core.tracking.comparison import Comparison, Group

_COLUMNS = labels_of(
    "image_auroc", "image_f1_max", "pixel_auroc", "pixel_ap", "au_pro_30", "au_pro_05"
)
_ID_LENGTH = 8


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
        typer.Option("--runs", metavar="ID", help="These runs instead; the id's start will do."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="METRIC", help="Metric that ranks, as MLflow names it.")
    ] = "image_auroc",
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="MLflow experiment; default: the profile's.")
    ] = None,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Rank the runs of a category, with what differs between them.

    Runs that differ in nothing but the seed are one row: mean ± standard deviation over the seeds.
    """
    from rich.console import Console

    from gtrans.cli.shared.summary import record_lines
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.comparison import compare as compared

    profile = load_profile(profile_name, store=store, experiment=experiment)
    client = connect_existing(profile.tracking_uri)
    found = compared(client, profile.experiment, category, by, last, runs or ())
    console = Console()
    same_config = "All have the same config, but for the seed"
    _print_title(console, f"{category}: test split, ranked by {by}")
    console.print(_metrics_table(found))
    _print_title(console, "\nWhat differs" if found.differing else f"\n{same_config}")
    console.print(_differences_table(found))
    lines = ["", _data_line(found), "", "Compare in MLflow:"]
    lines += record_lines(profile.tracking_uri, found.page)
    # Not wrapped: an address is copied whole.
    console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


def _print_title(console: Console, text: str) -> None:
    # Not the table's own title, which wraps where the table is narrow.
    console.print(text, style="italic", soft_wrap=True, markup=False, highlight=False)


def _metrics_table(found: Comparison) -> Table:
    from rich.table import Table

    from gtrans_core.tracking.comparison import SECONDS

    table = Table(box=None)
    for heading in ("#", "seeds", *_COLUMNS.values(), "training s"):
        table.add_column(heading, justify="right")
    for rank, group in enumerate(found.groups, start=1):
        table.add_row(
            str(rank),
            str(len(group.trials)),
            *(_shown(group.spread(name), 4) for name in _COLUMNS),
            _shown(group.spread(SECONDS), 0),
        )
    return table


def _differences_table(found: Comparison) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    table.add_column("#", justify="right")
    for heading in (*found.differing, "data", "runs (seed)"):
        table.add_column(escape(heading))
    for rank, group in enumerate(found.groups, start=1):
        table.add_row(
            str(rank),
            *(escape(group.config.get(key, "-")) for key in found.differing),
            group.data_digest[:_ID_LENGTH] or "not known",
            escape(_runs(group)),
        )
    return table


def _runs(group: Group) -> str:
    return ", ".join(f"{trial.run_id[:_ID_LENGTH]} ({trial.seed})" for trial in group.trials)


def _shown(spread: Spread | None, digits: int) -> str:
    return "-" if spread is None else spread.shown(digits)


def _data_line(found: Comparison) -> str:
    if found.same_data:
        return "Data     the same for all"
    return "Data     NOT the same for all: metrics on different data cannot be compared"

"""What a finished run ends with: its numbers, its report, and what to do next."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from gtrans.cli.shared.next_command import next_command, program
from gtrans_core.detector.model_name import CHALLENGER, alias_uri, model_name
from gtrans_core.evaluation.metric_names import METRIC_LABELS, SATURATED, MetricName, labels_of
from gtrans_core.system.text import printable_lines
from gtrans_core.tracking.address import SQLITE_SCHEME, is_server
from gtrans_core.tracking.pages import LOCAL_UI, page_address

if TYPE_CHECKING:
    from gtrans.pipelines.embedded.category_run import CategoriesRun
    from gtrans.pipelines.profiles import Profile

_RANKED: tuple[MetricName, ...] = ("image_auroc", "pixel_auroc", "au_pro_30")


def show_summary(
    results: Mapping[str, Mapping[str, Any]],
    category: str,
    report: Path,
    profile: Profile,
    same_profile: Sequence[str],
) -> None:
    """Print a run's metrics, its report, and the commands that go on from it.

    Args:
        results: what each step reported when it finished.
        category: the category that ran.
        report: its HTML report.
        profile: where it ran and is recorded.
        same_profile: options that make other commands use it too, e.g. ``["--store", "x"]``.
    """
    console = Console()
    metrics, registered = results["evaluate"]["metrics"], results["register"]
    challenger = alias_uri(category, CHALLENGER)
    reused = [step for step, result in results.items() if result.get("reused")]
    console.print()
    console.print(_metrics_table(metrics, f"{category}: test split"))
    lines = [
        "",
        *([f"Reused   {', '.join(reused)} (nothing changed)"] if reused else []),
        *(f"Note     {note}" for note in results["evaluate"].get("notes", [])),
        f"Report   {report}",
        f"Model    {model_name(category)} version {registered['version']}, alias {CHALLENGER}",
        *([f"Gate     {registered['gate']}"] if "gate" in registered else []),
        "",
        "Open this run in MLflow:",
        *record_lines(profile.tracking_uri, registered["run_page"]),
        "Score an image with the registered model:",
        "  " + next_command("predict", "IMAGE", "--model", challenger, *same_profile),
    ]
    if not str(registered.get("gate", "")).startswith(("refused", "is the champion")):
        lines += ["Make it the champion:", "  " + next_command("promote", category, *same_profile)]
    # Not wrapped: a path or a command is copied whole.
    console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


def show_ranking(run: CategoriesRun, profile: Profile, same_profile: Sequence[str]) -> None:
    """Print how several categories did, best first, and name those that failed.

    Args:
        run: the run of them.
        profile: where it ran and is recorded.
        same_profile: options that make other commands use it too.
    """
    from gtrans.pipelines.embedded.local import CRASHED

    console = Console()
    table = Table(box=None)
    for heading in ("category", *labels_of(*_RANKED).values(), "version"):
        table.add_column(heading, justify="left" if heading == "category" else "right")
    done = {name: end.results for name, end in run.outcomes.items() if end.exit_code == 0}

    def auroc_downwards(name: str) -> float:
        return -(done[name]["evaluate"]["metrics"].get(_RANKED[0]) or 0.0)

    for name in sorted(done, key=auroc_downwards):
        metrics = done[name]["evaluate"]["metrics"]
        cells = (_number(metrics.get(metric)) for metric in _RANKED)
        table.add_row(name, *cells, str(done[name]["register"]["version"]))
    console.print()
    console.print(table)
    lines = ["", f"Reports  {run.job.folder}/report-CATEGORY.html", "Compare them in MLflow:"]
    lines += record_lines(profile.tracking_uri, "")
    lines += [f"  with the filter  tags.`gtrans.run_key` = '{run.job.folder.name}'"]
    lines += ["Make one the champion, if it passes the gate:"]
    lines += ["  " + next_command("promote", "CATEGORY", *same_profile)]
    console.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)
    failed = {name: end for name, end in run.outcomes.items() if end.exit_code}
    for name, end in failed.items():
        sys.stderr.write(f"error: {name}: {printable_lines(end.error)}\n")
    if failed or run.summary.exit_code == CRASHED:
        sys.stderr.write(
            f"error: {len(failed)} of {len(run.outcomes)} categories failed; the same command does "
            f"only these again\nlog: {run.job.log}\n"
        )


def _metrics_table(metrics: Mapping[str, float | None], title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=False)
    table.add_column(min_width=24)
    table.add_column(justify="right")
    for key, label in METRIC_LABELS.items():
        if key in metrics or key not in SATURATED:
            table.add_row(label, _number(metrics.get(key)))
    return table


def _number(value: float | None) -> str:
    return "not available" if value is None or not math.isfinite(value) else f"{value:.4f}"


def record_lines(tracking_uri: str, page: str) -> list[str]:
    """The run's page in MLflow, after the command that serves it where no server runs."""
    if is_server(tracking_uri):
        return [f"  {page_address(tracking_uri, page)}"]
    return [f"  {_ui_command(tracking_uri)}", f"  then {page_address(LOCAL_UI, page)}"]


def _ui_command(tracking_uri: str) -> str:
    database = Path(tracking_uri.removeprefix(SQLITE_SCHEME))
    if tracking_uri.startswith(SQLITE_SCHEME) and database.name == "mlflow.db":
        return next_command("ui", "--store", str(database.parent))
    return shlex.join([program("mlflow"), "ui", "--backend-store-uri", tracking_uri])

"""``gtrans run``: one category through the whole pipeline on this machine."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans_core.cli.options import GateFile
from gtrans_core.data.known import KNOWN_SOURCES
from gtrans_core.errors import ConfigError, DataError, StorageError

if TYPE_CHECKING:
    from pipelines.local import LocalRun, Outcome

_LOG_LINES_SHOWN = 20


def run(
    category: Annotated[
        str, typer.Option("--category", "-c", help="Name of the category, such as bottle.")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            metavar="|".join(("DIR", "s3://...", *KNOWN_SOURCES)),
            help="Where its images are: a folder that holds the category (in MVTec, VisA or BTAD "
            "layout), an S3 prefix, or a known source. May be left out for the demo.",
        ),
    ] = "",
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="NAME|FILE",
            help="TOML file (start: gtrans config), or a preset, such as paper-resnet34.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One knob, such as training.epochs=12."),
    ] = None,
    gate: GateFile = None,
    profile: Annotated[
        str, typer.Option("--profile", metavar="NAME|FILE", help="Where to run and to record.")
    ] = "local",
    store: Annotated[
        str | None,
        typer.Option(
            "--store",
            metavar="DIR",
            envvar="GTRANS_STORE",
            help="Folder of caches, runs and models; default: the profile's.",
        ),
    ] = None,
    experiment: Annotated[
        str | None, typer.Option("--experiment", help="MLflow experiment; default: the profile's.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show what each step says.")
    ] = False,
) -> None:
    """Train, evaluate and register a detector for one category.

    Runs the compiled pipeline: ingest, cache_features, train, evaluate, register.
    """
    from gtrans_core.cli.summary import show_summary
    from gtrans_core.config import load_config
    from gtrans_core.storage import require_writable
    from pipelines.compile import COMPILED_CATEGORY
    from pipelines.gates import load_gate
    from pipelines.local import LocalRun, new_run_key
    from pipelines.profiles import load_profile

    place = load_profile(profile, store=store, experiment=experiment)
    parameters = {
        "category": category,
        "source": _source(data, category),
        "config": load_config(config, overrides or ()).to_json(),
        "store": place.store,
        "tracking_uri": place.tracking_uri,
        "experiment": place.experiment,
        "gate": load_gate(category, gate).to_json(),
    }
    require_writable(Path(place.store))
    job = LocalRun(COMPILED_CATEGORY, parameters, Path(place.store) / "runs" / new_run_key())
    outcome = _execute(job, verbose)
    if outcome.exit_code:
        _explain(job, outcome)
        raise typer.Exit(outcome.exit_code)
    report = job.folder / "report.html"
    try:
        shutil.copyfile(outcome.results["evaluate"]["report"], report)
    except OSError as error:
        raise StorageError(f"{report}: cannot be written ({error.strerror})") from None
    same_place = [
        *(["--profile", profile] if profile != "local" else []),
        *(["--store", place.store] if store else []),
    ]
    show_summary(outcome.results, category, report, place, same_place)


def _source(data: str, category: str) -> str:
    if not data and category == "demo":
        return "demo"
    if not data:
        raise ConfigError(
            f"--data is missing: say where the images of '{category}' are "
            f"(a folder, s3://..., or one of {', '.join(KNOWN_SOURCES)})"
        )
    if data in KNOWN_SOURCES or "://" in data:
        return data
    try:
        return str(Path(data).expanduser().resolve())
    except (OSError, RuntimeError) as error:  # no such user's home, a loop of links
        raise DataError(f"--data {data}: not a folder ({error})") from None


def _execute(job: LocalRun, verbose: bool) -> Outcome:
    from rich.console import Console

    from gtrans_core.cli.progress_view import progress_view
    from pipelines.local import STEPS, StopRequested, execute

    try:
        with progress_view(Console(), STEPS, verbose) as on_event:
            return execute(job, on_event)
    except StopRequested as stop:
        sys.stderr.write(f"{stop}; the same command goes on from what is cached\n")
        raise typer.Exit(stop.exit_code) from None
    except OSError as error:
        raise StorageError(f"{job.folder}: the run cannot be kept ({error.strerror})") from None


def _explain(job: LocalRun, outcome: Outcome) -> None:
    """The one line of a failed step; for a crash, the end of the log before it."""
    from pipelines.local import CRASHED

    if outcome.exit_code == CRASHED:
        lines = job.log.read_text(encoding="utf-8", errors="replace").splitlines()
        sys.stderr.write("\n".join(lines[-_LOG_LINES_SHOWN:]) + "\n")
    sys.stderr.write(f"error: {outcome.error}\nlog: {job.log}\n")

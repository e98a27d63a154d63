"""Categories through the compiled pipelines, as seen from the command line."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gtrans.cli.shared.next_command import next_command, profile_options
from gtrans_core.data.sources.known import KNOWN_SOURCES
from gtrans_core.errors import ConfigError, DataError, StorageError
from gtrans_core.steps.names import CATEGORY_STEPS
from gtrans_core.system.text import printable_lines

if TYPE_CHECKING:
    from gtrans.pipelines.embedded.local import LocalRun, RunOutcome
    from gtrans.pipelines.profiles import Profile
    from gtrans_core.config import GTransConfig
    from gtrans_core.evaluation.gate import Gate


@dataclass(frozen=True)
class CategoryRun:
    """A run that ended, well or not."""

    job: LocalRun
    outcome: RunOutcome

    @property
    def report(self) -> Path:
        """The HTML report of a run that ended well, under a name a browser knows."""
        return self.job.folder / "report.html"

    @property
    def evaluation(self) -> Path:
        """The folder with the evaluation's record; Kubeflow puts a step's outputs side by side."""
        return Path(self.outcome.results["evaluate"]["report"]).with_name("evaluation")


@dataclass(frozen=True)
class CategoriesRun:
    """A run of several categories that ended, well or not."""

    job: LocalRun
    outcomes: Mapping[str, RunOutcome]
    """By category, in the order asked for."""
    summary: RunOutcome
    """Fails when one of them did."""

    def report(self, category: str) -> Path:
        """The HTML report of a category that ended well."""
        return self.job.folder / f"report-{category}.html"


def run_category(
    profile: Profile,
    category: str,
    source: str,
    config: GTransConfig,
    gate: Gate,
    *,
    verbose: bool,
) -> CategoryRun:
    """Run ingest, cache_features, train, evaluate and register, showing how far they are.

    Args:
        profile: where to run and to record.
        category: what to train on.
        source: as ``source_of`` returns it.
        config: every knob.
        gate: what a version must reach to be promoted.
        verbose: show what each step says.

    Returns:
        The run; one whose step failed has that step's exit code and line in its outcome.

    Raises:
        ConfigError: when models must be signed here and there is no key that can.
        StorageError: when the store cannot be written.
        TrackingError: when MLflow would refuse the run at its end.
        typer.Exit: when the user or the machine stopped it, after saying so.
    """
    from rich.console import Console

    from gtrans.cli.shared.progress_view import progress_view
    from gtrans.pipelines.embedded import local
    from gtrans.pipelines.graphs import parameters
    from gtrans.pipelines.graphs.compile import COMPILED_CATEGORY

    given = parameters.of_category(profile, category, source, config, gate)
    job = _job(profile, COMPILED_CATEGORY, given, [category])
    with _ending_well(job), progress_view(Console(), CATEGORY_STEPS, verbose) as on_event:
        outcome = local.execute(job, on_event)
    run = CategoryRun(job, outcome)
    if run.outcome.exit_code == 0:
        _keep(Path(run.outcome.results["evaluate"]["report"]), run.report)
    return run


def run_categories(
    profile: Profile,
    gates: Mapping[str, Gate],
    source: str,
    config: GTransConfig,
    *,
    verbose: bool,
) -> CategoriesRun:
    """Run several categories, those that ``gates`` has; one that fails leaves the others.

    Args:
        profile: where to run and to record; also how many at a time.
        gates: of each category, what a version must reach to be promoted.
        source: as ``source_of`` returns it.
        config: every knob.
        verbose: show what each step says.

    Raises:
        ConfigError, StorageError, typer.Exit: as ``run_category``.
    """
    from rich.console import Console

    from gtrans.cli.shared.progress_view import lines_view
    from gtrans.pipelines.embedded import local
    from gtrans.pipelines.graphs import parameters
    from gtrans.pipelines.graphs.compile import COMPILED_CATEGORIES

    given = parameters.of_categories(profile, gates, source, config)
    job = _job(profile, COMPILED_CATEGORIES, given, list(gates))
    with _ending_well(job):
        ends, summary = local.execute_many(job, list(gates), lines_view(Console(), verbose))
    run = CategoriesRun(job, ends, summary)
    for category, end in ends.items():
        if end.exit_code == 0:
            _keep(Path(end.results["evaluate"]["report"]), run.report(category))
    return run


def source_of(data: str) -> str:
    """What ``--data`` names: a folder made absolute, any other source as it is.

    Raises:
        DataError: for a folder that cannot be made absolute.
    """
    if data in KNOWN_SOURCES or "://" in data:
        return data
    try:
        return str(Path(data).expanduser().resolve())
    except (OSError, RuntimeError) as error:  # no such user's home, a loop of links
        raise DataError(f"--data {data}: not a folder ({error})") from None


def explain_failure(run: CategoryRun, profile_name: str) -> None:
    """Print the one line of a failed step, and where the log lies.

    Where only register is missing, also the command that finishes the run under that profile.
    """
    error = printable_lines(run.outcome.error)
    sys.stderr.write(f"error: {error}\nlog: {run.job.log}\n")
    if tuple(run.outcome.results) == CATEGORY_STEPS[:-1]:  # only register is missing
        same_profile = profile_options(profile_name, run.job.parameters["store"])
        command = next_command("register", "--from", str(run.evaluation.parent), *same_profile)
        sys.stderr.write(f"to finish: {command}\n")


def _job(
    profile: Profile, compiled: Path, given: Mapping[str, Any], categories: Sequence[str]
) -> LocalRun:
    from gtrans.pipelines.embedded.local import LocalRun, new_run_key
    from gtrans_core.storage import require_writable
    from gtrans_core.trust.keys import SigningKey

    if profile.cluster is not None:
        raise ConfigError("this profile is of a cluster: gtrans submit runs there")
    profile.trust.require_key(SigningKey.from_environment())
    require_writable(Path(profile.store))
    _look_at_record(profile, categories)
    return LocalRun(compiled, given, Path(profile.store) / "runs" / new_run_key())


def _look_at_record(profile: Profile, categories: Sequence[str]) -> None:
    """Whether MLflow will take the runs, seen before training and not after."""
    from gtrans_core.tracking.client import TrackingAddress
    from gtrans_core.tracking.preflight import require_record

    address = TrackingAddress(profile.tracking_uri, profile.experiment)
    for category in categories:
        note = require_record(address, category)
        if note:  # the same for all of them
            sys.stderr.write(f"note: {note}; the run goes on, and register needs it\n")
            return


@contextmanager
def _ending_well(job: LocalRun) -> Iterator[None]:
    """Say in a line why a run was cut off."""
    from gtrans.pipelines.embedded.local import StopRequested

    try:
        yield
    except StopRequested as stop:
        sys.stderr.write(f"{stop}; the same command goes on from what is cached\n")
        raise typer.Exit(stop.exit_code) from None
    except OSError as error:
        raise StorageError(f"{job.folder}: the run cannot be kept ({error.strerror})") from None


def _keep(file: Path, target: Path) -> None:
    try:
        shutil.copyfile(file, target)
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror})") from None

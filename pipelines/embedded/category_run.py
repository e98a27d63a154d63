"""What the command line and Python share of a run: what is checked before it, what it leaves."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtrans.pipelines.embedded import local
from gtrans.pipelines.embedded.local import Event, LocalRun, RunOutcome
from gtrans.pipelines.graphs import parameters
from gtrans.pipelines.graphs.compile import COMPILED_CATEGORIES, COMPILED_CATEGORY
from gtrans.pipelines.profiles import Profile
from gtrans_core.config import GTransConfig
from gtrans_core.data.sources.folder import count_good
from gtrans_core.data.sources.known import KNOWN_SOURCES
from gtrans_core.errors import ConfigError, DataError, StorageError, require_packages
from gtrans_core.evaluation.gate import Gate
from gtrans_core.storage import require_writable
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.preflight import require_record
from gtrans_core.trust.keys import SigningKey

Say = Callable[[str], None]
"""Gets a line that a person should see, though nothing failed."""


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


def source_of(data: str) -> str:
    """What ``--data`` or ``gtrans.train`` names: a folder made absolute, any other source as it is.

    Raises:
        DataError: for a folder that cannot be made absolute.
    """
    if data in KNOWN_SOURCES or "://" in data:
        return data
    try:
        return str(Path(data).expanduser().resolve())
    except (OSError, RuntimeError) as error:  # no such user's home, a loop of links
        raise DataError(f"{data}: not a folder ({error})") from None


def prepare_category(
    profile: Profile, category: str, source: str, config: GTransConfig, gate: Gate, say: Say
) -> LocalRun:
    """A run of ingest, cache_features, train, evaluate and register that can be started.

    Args:
        profile: where to run and to record.
        category: what to train on.
        source: as ``source_of`` returns it.
        config: every knob.
        gate: what a version must reach to be promoted.
        say: told when MLflow cannot be reached now, which only register needs.

    Raises:
        ConfigError: when models must be signed here and there is no key that can.
        StorageError: when the store cannot be written.
        TrackingError: when MLflow would refuse the run at its end.
    """
    given = parameters.of_category(profile, category, source, config, gate)
    return _prepare(profile, COMPILED_CATEGORY, given, [category], say)


def prepare_categories(
    profile: Profile, gates: Mapping[str, Gate], source: str, config: GTransConfig, say: Say
) -> LocalRun:
    """As ``prepare_category``, for all categories that ``gates`` has."""
    given = parameters.of_categories(profile, gates, source, config)
    return _prepare(profile, COMPILED_CATEGORIES, given, list(gates), say)


def execute_category(job: LocalRun, on_event: Callable[[Event], None]) -> CategoryRun:
    """Run to the end what ``prepare_category`` returned, and keep its report.

    Returns:
        The run; one whose step failed has that step's exit code and line in its outcome.

    Raises:
        StopRequested: when the user or the machine asked it to stop.
        StorageError: when the run's folder cannot be written.
    """
    with _kept(job):
        run = CategoryRun(job, local.execute(job, on_event))
        if run.outcome.exit_code == 0:
            _keep(run.outcome, run.report)
    return run


def execute_categories(
    job: LocalRun, categories: Sequence[str], on_event: Callable[[Event], None]
) -> CategoriesRun:
    """As ``execute_category``, for what ``prepare_categories`` returned."""
    with _kept(job):
        run = CategoriesRun(job, *local.execute_many(job, categories, on_event))
        for category, outcome in run.outcomes.items():
            if outcome.exit_code == 0:
                _keep(outcome, run.report(category))
    return run


def _prepare(
    profile: Profile,
    compiled: Path,
    given: Mapping[str, Any],
    categories: Sequence[str],
    say: Say,
) -> LocalRun:
    if profile.cluster is not None:
        raise ConfigError("this profile is of a cluster: gtrans submit runs there")
    if platform.system() != "Linux":
        raise ConfigError("gtrans run needs Linux: its steps are forks of one process")
    require_packages("torch", "kfp")
    profile.trust.require_key(SigningKey.from_environment())
    require_writable(Path(profile.store))
    _look_at_record(profile, categories, say)
    _say_cost_of_tiles(given, categories, say)
    return LocalRun(compiled, given, Path(profile.store) / "runs" / local.new_run_key())


def _look_at_record(profile: Profile, categories: Sequence[str], say: Say) -> None:
    """Whether MLflow will take the runs, seen before training and not after."""
    address = TrackingAddress(profile.tracking_uri, profile.experiment)
    for category in categories:
        note = require_record(address, category)
        if note:  # the same for all of them
            say(f"{note}; the run goes on, and register needs it")
            return


def _say_cost_of_tiles(given: Mapping[str, Any], categories: Sequence[str], say: Say) -> None:
    """What tiles cost, where parts are cut: time for an image, and the size of the cache."""
    config = GTransConfig.from_json(given["config"])
    if not config.image.has_tiles:
        return
    from gtrans_core.training.tile_cost import cost_of_tiles  # torch takes seconds to load

    good = {name: count_good(given["source"], name) for name in categories}
    say(cost_of_tiles(config, good))


@contextmanager
def _kept(job: LocalRun) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{job.folder}: the run cannot be kept ({error.strerror})") from None


def _keep(outcome: RunOutcome, target: Path) -> None:
    """The report that a run made, under another name, with what register found out since."""
    from gtrans_core.drawing.registration import Registration, with_registration

    registered = outcome.results["register"].get("registration")
    try:
        report = Path(outcome.results["evaluate"]["report"]).read_text(encoding="utf-8")
        if registered:
            report = with_registration(report, Registration.model_validate(registered))
        target.write_text(report, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{target}: cannot be written ({error.strerror})") from None

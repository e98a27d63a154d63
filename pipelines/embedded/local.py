"""Run the compiled pipeline on this machine: the same DAG as on a cluster, one process a step.

kfp.local takes over ``print`` and the root logger, so it runs in a child process (local_worker);
what it and the steps print goes to the run's log, and what the steps report comes back as events.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import gtrans
from gtrans_core import progress
from gtrans_core.errors import PreemptedError
from gtrans_core.steps.names import CATEGORY_STEPS, SUMMARIZE
from gtrans_core.storage.scratch import scratch_folder

PREEMPTED = PreemptedError.exit_code
CRASHED = 70
"""Exit code of a run whose step ended without saying why (EX_SOFTWARE)."""

Event = dict[str, Any]
"""One line of a progress file: step, category, kind and more (see gtrans_core.progress)."""

_SOURCES = Path(gtrans.__file__).resolve().parents[1]
_POLL_SECONDS = 0.1
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class LocalRun:
    """One run of a compiled pipeline and the folder that holds its traces."""

    compiled: Path
    """The pipeline's YAML."""
    parameters: Mapping[str, Any]
    """The pipeline's parameters."""
    folder: Path
    """Created by the run; its name is the run's key."""

    @property
    def log(self) -> Path:
        """Everything that Kubeflow and the steps printed."""
        return self.folder / "pipeline.log"

    @property
    def events(self) -> Path:
        """Everything that the steps reported, one JSON object a line."""
        return self.folder / "progress.jsonl"


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended, or one category of it."""

    exit_code: int
    """0, the failed step's own code, or :data:`CRASHED`."""
    error: str
    """The one line that says what went wrong; empty after success."""
    results: dict[str, dict[str, Any]]
    """What each finished step reported, by step."""


class StopRequested(Exception):  # noqa: N818 - an order from outside, not an error
    """The user or the machine asked the run to end; no process of it is left."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        # What is done is kept either way; SIGTERM is how a machine says "later" (EX_TEMPFAIL).
        self.exit_code = PREEMPTED if signal_number == signal.SIGTERM else 128 + signal_number


def new_run_key() -> str:
    """A name for a run that sorts by time: ``20260131-235959-1f2e3d``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def execute(run: LocalRun, on_event: Callable[[Event], None]) -> RunOutcome:
    """Run to the end, handing every event of every step to ``on_event`` as it comes.

    Raises:
        StopRequested: on SIGINT, SIGTERM or SIGHUP; only the main thread hears of them.
        OSError: when the run's folder cannot be created or written.
    """
    reports, clean = _run(run, on_event)
    of_the_category = next(iter(reports.values()), _Reports())
    return of_the_category.outcome(CATEGORY_STEPS, clean)


def execute_many(
    run: LocalRun, categories: Sequence[str], on_event: Callable[[Event], None]
) -> tuple[dict[str, RunOutcome], RunOutcome]:
    """As ``execute``, for a pipeline of several categories.

    Returns:
        How each category ended, and how the summary ended: it fails when a category failed.

    Raises:
        StopRequested, OSError: as ``execute``.
    """
    reports, clean = _run(run, on_event)
    ends = {
        name: reports.get(name, _Reports()).outcome(CATEGORY_STEPS, True) for name in categories
    }
    return ends, reports.get("", _Reports()).outcome((SUMMARIZE,), clean)


class _Reports:
    """What the steps of one category said."""

    def __init__(self) -> None:
        self._results: dict[str, dict[str, Any]] = {}
        self._failure: Event | None = None

    def take(self, event: Event) -> None:
        if event["kind"] == "finished":
            self._results[event["step"]] = event["results"]
        elif event["kind"] == "failed":
            self._failure = event

    def outcome(self, steps: Sequence[str], clean: bool) -> RunOutcome:
        if self._failure is not None:
            return RunOutcome(self._failure["exit_code"], self._failure["text"], self._results)
        # A clean exit is not proof enough: kfp.local does not notice an output never written.
        if not clean or len(self._results) < len(steps):
            step = next((step for step in steps if step not in self._results), "pipeline")
            return RunOutcome(CRASHED, f"{step} ended without finishing", self._results)
        return RunOutcome(0, "", self._results)


def _run(run: LocalRun, on_event: Callable[[Event], None]) -> tuple[dict[str, _Reports], bool]:
    """What was said, by category, and whether the pipeline ended well."""
    run.folder.mkdir(parents=True)
    run.events.touch()
    reports: dict[str, _Reports] = {}
    with _stoppable(), _started(run) as worker:
        for event in _follow(run.events, lambda: worker.poll() is None):
            on_event(event)
            reports.setdefault(event["category"], _Reports()).take(event)
    return reports, worker.returncode == 0


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn the signals that ask a process to end into :class:`StopRequested`."""
    if threading.current_thread() is not threading.main_thread():  # Python refuses it there
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        raise StopRequested(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _started(run: LocalRun) -> Iterator[subprocess.Popen[bytes]]:
    """The worker, in a session of its own; none of its processes outlives the context."""
    with (
        scratch_folder() as scratch,
        run.log.open("ab") as log,
    ):
        worker = subprocess.Popen(  # nosec B603  # this very Python
            [sys.executable, "-m", "gtrans.pipelines.embedded.local_worker"],
            env=_environment(run, scratch),
            # The request, then silence: the end of the pipe tells the worker that we are gone.
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _send(worker, run)
            yield worker
        finally:
            _stop(worker)


def _environment(run: LocalRun, scratch: str) -> dict[str, str]:
    inherited = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        progress.ENVIRONMENT_VARIABLE: str(run.events),
        # The steps import this very checkout, installed or not.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_SOURCES), inherited))),
        # And nothing else that happens to lie in the working folder.
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        # Waiting OpenMP threads sleep instead of spinning: on a machine that does anything else,
        # spinning made a training step 4.7 times slower.
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        # Kubeflow leaves the source of each step behind in the temporary folder.
        "TMPDIR": scratch,
    }


def _send(worker: subprocess.Popen[bytes], run: LocalRun) -> None:
    request = {
        "compiled": str(run.compiled.resolve()),
        "parameters": dict(run.parameters),
        "run_key": run.folder.name,
        "artifacts": str(run.folder.resolve() / "artifacts"),
    }
    # A worker that dies at once leaves a broken pipe; its exit code tells the rest.
    with suppress(BrokenPipeError):
        if worker.stdin is not None:
            worker.stdin.write(json.dumps(request).encode() + b"\n")
            worker.stdin.flush()


def _follow(path: Path, is_running: Callable[[], bool]) -> Iterator[Event]:
    """Events as their lines get complete, until the writer has ended and all are read."""
    with path.open(encoding="utf-8") as file:
        unfinished_line = ""
        running = True
        while running:
            running = is_running()
            *lines, unfinished_line = (unfinished_line + file.read()).split("\n")
            yield from (json.loads(line) for line in lines)
            if running:
                time.sleep(_POLL_SECONDS)


def _stop(worker: subprocess.Popen[bytes]) -> None:
    """SIGTERM to every process of the run; SIGKILL after the grace time, or if told to hurry."""
    if worker.poll() == 0:
        return
    try:
        deadline = time.monotonic() + _GRACE_SECONDS
        while worker.poll() is None and time.monotonic() < deadline:
            # Again each second: the next step may just have been starting.
            _signal_all(worker, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                worker.wait(1)
    finally:
        _signal_all(worker, signal.SIGKILL)
        worker.wait()


def _signal_all(worker: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(worker.pid, number)

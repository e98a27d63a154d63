"""A run in MLflow for one step of a pipeline run: when it ran, and how it ended.

It lies below the category's run and carries neither ``gtrans.category`` nor ``gtrans.run_key``, so
that a filter for runs to compare never finds it. Steps have runs only on an MLflow server: an
embedded record has one run a category, and no step waits seconds for MLflow to be imported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from gtrans_core.errors import GTransError
from gtrans_core.tracking.category_run import CategoryRun
from gtrans_core.tracking.client import (
    connect,
    injected_run_id,
    translate_mlflow_errors,
)
from gtrans_core.tracking.experiment import experiment_of
from gtrans_core.tracking.runs import FAILURE_TAG, PARENT_TAG, STEP_TAG, RunLogger, origin_tags

PATIENCE_S = 5.0
"""How long a step that is done waits for a server that does not answer."""


class StepRun:
    """Opened in the background while the step works; a dead server costs the step nothing."""

    def __init__(self, parent: CategoryRun, step: str) -> None:
        self._parent, self._step = parent, step
        self._started = time.time()
        self._run: RunLogger | None = None
        self._opening = _in_background(self._open)

    def finish(self, failure: str = "") -> None:
        """End the run: FAILED with a reason, else FINISHED. Where MLflow is down, it stays open."""
        closing = _in_background(lambda: self._close(failure))
        closing.join(PATIENCE_S)

    def _open(self) -> None:
        address = self._parent.address
        client = connect(address.server_uri)
        with translate_mlflow_errors(client.tracking_uri, f"open the run of {self._step}"):
            injected = injected_run_id()
            if injected:
                client.set_tag(injected, STEP_TAG, self._step)
                self._run = RunLogger(client, injected)
                return
            parent = self._parent.open().run_id
            made = client.create_run(
                experiment_of(client, address),
                start_time=int(self._started * 1000),
                tags={STEP_TAG: self._step, PARENT_TAG: parent, **origin_tags()},
                run_name=f"{self._parent.category}-{self._step}",
            )
            self._run = RunLogger(client, made.info.run_id)

    def _close(self, failure: str) -> None:
        self._opening.join()
        if self._run is None:
            return
        self._run.log_metrics({"step_seconds": round(time.time() - self._started, 1)})
        if failure:
            self._run.client.set_tag(self._run.run_id, FAILURE_TAG, failure)
        self._run.finish("FAILED" if failure else "FINISHED")


def end_left_open(run: RunLogger) -> None:
    """End the runs that steps left open below a category's run, when the last step is nearly done.

    FINISHED: the last run of a step that could not reach MLflow at its end. KILLED: other runs of
    that step, or of one that has a finished run. They end now, since nobody knows when they ended.
    The caller's own run, if any, ends once more by ``finish``.

    Raises:
        TrackingError: when MLflow refuses or cannot be reached.
    """
    with translate_mlflow_errors(run.client.tracking_uri, "end the runs of steps"):
        experiment = run.client.get_run(run.run_id).info.experiment_id
        below = f"tags.`{PARENT_TAG}` = '{run.run_id}'"
        newest_first = run.client.search_runs([experiment], below, order_by=["start_time DESC"])
        steps = [(child, child.data.tags.get(STEP_TAG, "")) for child in newest_first]
        finished = {step for child, step in steps if child.info.status == "FINISHED"}
        for child, step in steps:
            if child.info.status == "RUNNING":
                ended = "KILLED" if step in finished else "FINISHED"
                run.client.set_terminated(child.info.run_id, ended)
                finished.add(step)


def _in_background(work: Callable[[], None]) -> threading.Thread:
    def quietly() -> None:
        with suppress(GTransError):
            work()

    # A daemon: the step's process may end while MLflow does not answer.
    thread = threading.Thread(target=quietly, daemon=True)
    thread.start()
    return thread

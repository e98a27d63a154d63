"""A category's MLflow run as one step sees it: found once, then handed to whoever writes to it."""

from __future__ import annotations

from contextlib import suppress

from gtrans_core.errors import GTransError
from gtrans_core.tracking.client import TrackingAddress, injected_run_id
from gtrans_core.tracking.runs import RunLogger, fail_run, mark_failed, open_run


class CategoryRun:
    """The run of a category in one pipeline run. Threads may share it.

    Args:
        address: where it is recorded.
        run_key: identifies the pipeline run (the KFP job id).
        category: what is trained.
    """

    def __init__(self, address: TrackingAddress, run_key: str, category: str) -> None:
        self.address, self.run_key, self.category = address, run_key, category
        self._found: RunLogger | None = None

    def open(self, step: str = "") -> RunLogger:
        """Find the run, or make it, on the first call; later calls return the same.

        Args:
            step: see ``find_or_create_run``.

        Raises:
            TrackingError: when MLflow cannot be reached; the next call tries again.
        """
        if self._found is None:
            self._found = open_run(self.address, self.run_key, self.category, step=step)
        return self._found

    def fail(self, reason: str) -> None:
        """Mark the run FAILED if there is one; where MLflow does not answer, it stays as it is."""
        if self._found is None or self._found.run_id == injected_run_id():
            # An injected run is the step's own; the category's may be another.
            fail_run(self.address, self.run_key, self.category, reason)
            return
        with suppress(GTransError):
            mark_failed(self._found, reason)

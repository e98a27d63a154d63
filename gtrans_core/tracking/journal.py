"""From the training journal to MLflow: off the training loop, in order, each value exactly once.

The journal is a file of ``gtrans_core.training.journal``: one JSON line a record, appended only.
Values are sent with their recorded times. MLflow's database keys a metric by run, name, step, time
and value, so sending a record again changes nothing; a lost answer or a restarted process does no
harm.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from gtrans_core.errors import GTransError, TrackingError
from gtrans_core.storage.documents import describe_validation
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.runs import RunLogger

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

_METRICS_PER_REQUEST = 1000
_LONGEST_WAIT_S = 60.0
_LAST_WAIT_S = 0.5

_log = logging.getLogger(__name__)


def replay(journal_path: Path, run_id: str, client: MlflowClient) -> int:
    """Send a whole journal; what MLflow has already is not doubled.

    Returns:
        The number of values sent. A half-written last line is left out.

    Raises:
        TrackingError: when the journal cannot be read, or MLflow refuses or cannot be reached.
    """
    return _Sender(journal_path).send_new(RunLogger(client, run_id))


class JournalFlusher:
    """Sends a growing journal from a thread of its own. Training never waits for it, nor fails.

    Where MLflow cannot be reached it tries again, less and less often (down to once a minute).

    Args:
        journal_path: the file; may not exist yet.
        open_run: opens the run, in the thread, so that a dead server does not delay training.
        interval_s: seconds between two looks at the file.
        also: further files of the same format, which nobody replays later.
    """

    def __init__(
        self,
        journal_path: Path,
        open_run: Callable[[], RunLogger],
        interval_s: float = 5.0,
        also: Sequence[Path] = (),
    ) -> None:
        self._senders = [_Sender(path) for path in (journal_path, *also)]
        self._open_run = open_run
        self._interval_s = interval_s
        self._run: RunLogger | None = None
        self._closing = threading.Event()
        self._deadline = 0.0
        self._all_sent = False
        self._thread = threading.Thread(target=self._work, name="journal-flusher", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Send the rest, for ``timeout_s`` seconds at most.

        Returns:
            Whether MLflow has all that the journal holds; if not, ``replay`` sends it later.
        """
        self._deadline = time.monotonic() + timeout_s
        self._closing.set()
        self._thread.join(timeout_s)
        return self._all_sent

    def _work(self) -> None:
        wait = self._interval_s
        while not self._closing.wait(wait):
            wait = self._interval_s if self._flush() else min(2 * wait, _LONGEST_WAIT_S)
        self._all_sent = self._flush()
        while not self._all_sent and time.monotonic() < self._deadline:
            time.sleep(_LAST_WAIT_S)
            self._all_sent = self._flush()

    def _flush(self) -> bool:
        try:
            if self._run is None:
                self._run = self._open_run()
            for sender in self._senders:
                sender.send_new(self._run)
        except GTransError as error:
            _log.warning("%s (kept in the journal, will be sent later)", error)
            return False
        return True


class _Record(BaseModel):
    """A line of the journal."""

    model_config = ConfigDict(extra="forbid", strict=True)

    step: int
    time_ms: int
    values: dict[str, float]
    check: str = ""
    """Of the training's own; what it made of a damaged line is settled before this reads."""


class _Sender:
    """Remembers how far a journal has been sent."""

    def __init__(self, journal_path: Path) -> None:
        self._path = journal_path
        self._sent_bytes = 0

    def send_new(self, run: RunLogger) -> int:
        """Send the complete lines that are new; returns the number of values."""
        data = self._new_lines()
        metrics = [metric for line in data.splitlines() for metric in self._metrics(line)]
        with translate_mlflow_errors(run.client.tracking_uri, f"send {self._path.name}"):
            for start in range(0, len(metrics), _METRICS_PER_REQUEST):
                batch = metrics[start : start + _METRICS_PER_REQUEST]
                run.client.log_batch(run.run_id, metrics=batch)
        self._sent_bytes += len(data)
        return len(metrics)

    def _new_lines(self) -> bytes:
        try:
            with self._path.open("rb") as file:
                file.seek(self._sent_bytes)
                data = file.read()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise TrackingError(f"{self._path}: cannot be read ({error.strerror})") from None
        return data[: data.rfind(b"\n") + 1]

    def _metrics(self, line: bytes) -> list[Metric]:
        from mlflow.entities import Metric

        try:
            record = _Record.model_validate_json(line)
        except ValidationError as error:
            raise TrackingError(
                f"{self._path}: not a journal record: {describe_validation(error)}"
            ) from None
        return [
            Metric(name, value, record.time_ms, record.step)
            for name, value in record.values.items()
        ]

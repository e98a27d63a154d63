"""Keeping the scores of a model in use: ``WATCH/CATEGORY/DIGEST/DAY-WRITER.json``.

Each process writes files of its own, replaced atomically: writers never wait for each other, on any
file system, and a kill leaves the last state. Reading adds them up. Days are UTC.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import NonNegativeInt

from gtrans_core.errors import StorageError
from gtrans_core.storage import checked_name, write_atomic
from gtrans_core.storage.documents import Facts, read_json
from gtrans_core.storage.sealed import sealed
from gtrans_core.watch.histogram import Counts, bin_of

WATCH_FOLDER = "watch"
"""Below the store."""
PENDING_SCORES = 100
PENDING_SECONDS = 10.0
_KEPT = timedelta(days=1)
"""How long a day's counts stay in memory: a clock that is set back returns to that day."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watched:
    """A registered version, whose scores are kept apart from every other's.

    Attributes:
        category: what it was trained on.
        version: its number in the registry.
        digest: sha256 (hex) of its ``detector.json``.
    """

    category: str
    version: int
    digest: str


class DayOfScores(Facts):
    """One file: what one writer saw of one model on one day."""

    schema_version: Literal[1] = 1
    category: str
    version: int
    digest: str
    counts: dict[int, NonNegativeInt]
    """Images by bin of their score."""


class ScoreRecorder:
    """Counts scores as they come, for any number of models; threads may share one.

    What is counted is on disk after 100 scores, or with the first score after 10 s; ``flush`` (or
    the end of a ``with`` block) writes the rest. A disk that cannot be written is told in the log
    and never stops the scoring: counts are kept for the next flush.
    """

    def __init__(self, folder: Path, writer: str | None = None) -> None:
        self._folder = folder
        self._writer = writer or f"{datetime.now(UTC):%H%M%S}-{secrets.token_hex(6)}"
        self._counts: dict[tuple[Watched, date], Counts] = {}
        self._changed: set[tuple[Watched, date]] = set()
        self._pending = 0
        self._last_flush = time.monotonic()
        self._lock = threading.Lock()

    def __enter__(self) -> ScoreRecorder:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def record(self, category: str, version: int, digest: str, score: float) -> None:
        """Count one image.

        Raises:
            ValueError: when the score is not finite.
        """
        model, number = Watched(category, version, digest), bin_of(score)
        with self._lock:
            key = (
                model,
                datetime.now(UTC).date(),
            )  # under the lock: a day that was written is not reopened
            self._counts.setdefault(key, Counter())[number] += 1
            self._changed.add(key)
            self._pending += 1
            waited = time.monotonic() - self._last_flush
            if self._pending >= PENDING_SCORES or waited >= PENDING_SECONDS:
                self._write_changed()

    def flush(self) -> None:
        """Write what is not on disk yet."""
        with self._lock:
            self._write_changed()

    def _write_changed(self) -> None:
        self._pending, self._last_flush = 0, time.monotonic()
        for model, day in sorted(self._changed, key=str):
            try:
                _write(self._folder, model, day, self._writer, self._counts[model, day])
            except StorageError as error:
                _log.warning("scores are not being kept for gtrans drift: %s", error)
                continue
            self._changed.discard((model, day))
            if datetime.now(UTC).date() - day > _KEPT:
                del self._counts[model, day]


def record_all(
    folder: Path, model: Watched, writer: str, scores: Iterable[tuple[date, float]]
) -> None:
    """Keep the scores of a whole batch; doing so again under the same name changes nothing.

    Raises:
        StorageError: when the folder cannot be written.
    """
    days: dict[date, Counts] = {}
    for day, score in scores:
        days.setdefault(day, Counter())[bin_of(score)] += 1
    for day, counts in days.items():
        _write(folder, model, day, writer, counts)


def read_counts(folder: Path, category: str, digest: str, since: date | None = None) -> Counts:
    """All scores kept of one model, from a day (UTC) on.

    Raises:
        StorageError: naming a file that is damaged or cannot be read.
    """
    total: Counts = Counter()
    for path in _files(folder / checked_name(category) / checked_name(digest), since):
        day = read_json(path, DayOfScores, "a file of scores, so remove it", StorageError)
        total.update(day.counts)
    return total


def _files(folder: Path, since: date | None) -> Iterator[Path]:
    """Names begin with the day, so they sort and compare as text."""
    first = since.isoformat() if since else ""
    return (path for path in sorted(folder.glob("[0-9]*.json")) if path.name >= first)


def _write(folder: Path, model: Watched, day: date, writer: str, counts: Counts) -> None:
    content = DayOfScores(
        category=model.category,
        version=model.version,
        digest=model.digest,
        counts=dict(sorted(counts.items())),
    )
    place = folder / checked_name(model.category) / checked_name(model.digest)
    write_atomic(place / f"{day}-{writer}.json", sealed(content.model_dump_json()))

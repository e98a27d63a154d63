"""The training journal: one JSON line a record, appended once, replayed to MLflow by ``tracking``.

A record is ``{"step": int, "time_ms": int, "values": {name: float}, "check": crc32}``; those of
earlier versions lack the last. A resumed training computes some steps again (to the same numbers);
they are not journalled twice. A line that is damaged is noticed: the journal is set aside, and one
without that line takes its place.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gtrans_core.storage import storage_error, write_atomic
from gtrans_core.storage.documents import parse_json
from gtrans_core.storage.verified import quarantine

SYSTEM_JOURNAL = "system.jsonl"
"""Beside a training's journal, in the same format: what it takes of its machine."""


class TrainingJournal:
    """Append-only records of one training.

    Args:
        path: the file.
        say: is told of damage.

    Raises:
        StorageError: when the file cannot be written.
    """

    def __init__(self, path: Path, say: Callable[[str], None] = lambda _: None) -> None:
        self.path = path
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._drop_torn_line()
            self._mend(say)
        self._seen = {(r["step"], name) for r in self.records() for name in r["values"]}

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add what is new of a step's values.

        Raises:
            StorageError: when the file cannot be written.
        """
        new = {
            name: float(value) for name, value in values.items() if (step, name) not in self._seen
        }
        if not new:
            return
        record = {"step": step, "time_ms": time.time_ns() // 1_000_000, "values": new}
        with self._writing(), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**record, "check": _check(record)}) + "\n")
        self._seen.update((step, name) for name in new)

    def sync(self) -> None:
        """Flush to disk what was added: a checkpoint must not outlive its journal.

        Raises:
            StorageError: when it cannot.
        """
        with self._writing(), self.path.open("ab") as file:
            os.fsync(file.fileno())

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order they were written; damaged lines are left out."""
        if not self.path.exists():
            return []
        read = (_record(line) for line in self.path.read_bytes().split(b"\n"))
        return [record for record in read if record is not None]

    def _mend(self, say: Callable[[str], None]) -> None:
        """Set a journal with damaged lines aside, and go on with those that are intact."""
        if not self.path.exists():
            return
        lines = self.path.read_bytes().splitlines(keepends=True)
        intact = [line for line in lines if _record(line) is not None]
        if len(intact) == len(lines):
            return
        quarantine(self.path)
        write_atomic(self.path, b"".join(intact))
        say(
            f"{self.path}: {len(lines) - len(intact)} of {len(lines)} lines were damaged; it is "
            f"kept as {self.path.name}.damaged, and the others are used"
        )

    def _drop_torn_line(self) -> None:
        """A kill in the middle of a write leaves half a line at the end."""
        if self.path.exists():
            data = self.path.read_bytes()
            os.truncate(self.path, data.rfind(b"\n") + 1)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise storage_error(self.path, error, needed=0) from None


def _record(line: bytes) -> dict[str, Any] | None:
    """What a line holds; None where it is damaged."""
    try:
        read = parse_json(line)
        values = {str(name): float(value) for name, value in read["values"].items()}
        record = {"step": int(read["step"]), "time_ms": int(read["time_ms"]), "values": values}
        expected = read.get("check", _check(record))
        if not {*record, "check"} >= read.keys():  # such as a check by a name with a flipped bit
            return None
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
    return record if expected == _check(record) else None


def _check(record: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(record).encode()):08x}"

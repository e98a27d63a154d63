"""The training journal: one JSON line a record, appended once, replayed to MLflow by ``tracking``.

A record is ``{"step": int, "time_ms": int, "values": {name: float}}``. A resumed training computes
some steps again (to the same numbers); they are not journalled twice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gtrans_core.errors import StorageError
from gtrans_core.storage import storage_error


class TrainingJournal:
    """Append-only records of one training.

    Raises:
        StorageError: when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._drop_torn_line()
        self._seen = {(r["step"], name) for r in self.records() for name in r["values"]}

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add what is new of a step's values.

        Raises:
            StorageError: when the file cannot be written.
        """
        new = {name: value for name, value in values.items() if (step, name) not in self._seen}
        if not new:
            return
        record = {"step": step, "time_ms": time.time_ns() // 1_000_000, "values": new}
        with self._writing(), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._seen.update((step, name) for name in new)

    def sync(self) -> None:
        """Flush to disk what was added: a checkpoint must not outlive its journal.

        Raises:
            StorageError: when it cannot.
        """
        with self._writing(), self.path.open("ab") as file:
            os.fsync(file.fileno())

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order they were written.

        Raises:
            StorageError: for a line that is no record.
        """
        if not self.path.exists():
            return []
        lines = self.path.read_bytes().splitlines()
        return [self._record(number, line) for number, line in enumerate(lines, start=1)]

    def _record(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            read = json.loads(line)
            values = dict(read["values"])
            return {"step": read["step"], "time_ms": read["time_ms"], "values": values}
        except (ValueError, LookupError, TypeError):
            raise StorageError(
                f"{self.path}: line {number} is damaged; delete the folder to train anew"
            ) from None

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

"""The training journal: one JSON line a record, appended once, replayed to MLflow by ``tracking``.

A record is ``{"step": int, "time_ms": int, "values": {name: float}}``. A resumed training computes
some steps again (to the same numbers); they are not journalled twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class History:
    """Append-only records of one training."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_torn_line()
        self._seen = {(r["step"], name) for r in self.records() for name in r["values"]}

    def append(self, step: int, values: Mapping[str, float]) -> None:
        """Add what is new of a step's values."""
        new = {name: value for name, value in values.items() if (step, name) not in self._seen}
        if not new:
            return
        record = {"step": step, "time_ms": time.time_ns() // 1_000_000, "values": new}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        self._seen.update((step, name) for name in new)

    def records(self) -> list[dict[str, Any]]:
        """All records, in the order they were written."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def _drop_torn_line(self) -> None:
        """A kill in the middle of a write leaves half a line at the end."""
        if self.path.exists():
            data = self.path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                self.path.write_bytes(whole)

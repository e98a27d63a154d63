"""How a step tells what it is doing: log lines for people, events for a progress bar.

A step runs in a process of its own (a pod, or a subprocess of the embedded pipeline). It always
prints plain lines. Where ``GTRANS_PROGRESS`` names a file, it also appends JSON events to it, which
``gtrans run`` draws. Event kinds: started, advanced, said, noted, failed, finished.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from gtrans_core.system.text import printable_lines

ENVIRONMENT_VARIABLE = "GTRANS_PROGRESS"


class Progress:
    """Reports how one step goes."""

    def __init__(self, step: str, category: str = "") -> None:
        self.step = step
        self.category = category
        self._path = os.environ.get(ENVIRONMENT_VARIABLE)

    def started(self) -> None:
        """The step has begun."""
        self._event("started")

    def advanced(self, what: str, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` units of ``what`` are finished (not printed: it is frequent)."""
        self._event("advanced", what=what, done=done, total=total, note=note)

    def said(self, text: str) -> None:
        """A line a person wants to read afterwards."""
        self._print(text)
        self._event("said", text=text)

    def noted(self, text: str) -> None:
        """A line a person should see though nothing failed: shown on every terminal."""
        self._print(f"note: {text}")
        self._event("noted", text=text)

    def failed(self, text: str, exit_code: int) -> None:
        """The step cannot go on; ``text`` is the one line the user gets."""
        self._print(f"error: {text}")
        self._event("failed", text=text, exit_code=exit_code)

    def finished(self, **results: Any) -> None:
        """The step is done; ``results`` are small JSON values worth showing."""
        self._event("finished", results=results)

    def _print(self, text: str) -> None:
        sys.stdout.write(f"[{self.step}] {printable_lines(text)}\n")
        sys.stdout.flush()

    def _event(self, kind: str, **fields: Any) -> None:
        if not self._path:
            return
        who = {"step": self.step, "category": self.category}
        line = json.dumps({"time": time.time(), **who, "kind": kind, **fields})
        # One short O_APPEND write: events of parallel steps do not mix.
        with Path(self._path).open("a", encoding="utf-8") as file:
            file.write(line + "\n")

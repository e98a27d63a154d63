"""Being asked to end: SIGTERM, which a cluster sends before it takes a machine away."""

from __future__ import annotations

import signal
from types import FrameType


class TerminationSignal:
    """Whether the process was asked to end (SIGTERM): false, until it was."""

    def __init__(self) -> None:
        self._seen = False
        signal.signal(signal.SIGTERM, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._seen = True

    def __call__(self) -> bool:
        """Whether the signal has come."""
        return self._seen

"""A champion's way to here, which may break off: where its files come to, when to go on."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.registry.versions import ModelVersion

FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0
"""Seconds until a version whose download broke off is fetched again; doubled each time."""


class Download:
    """Of one version; what came of another is no help, and goes."""

    def __init__(self) -> None:
        self._open = contextlib.ExitStack()
        self.place = Path(self._open.enter_context(scratch_folder()))
        self._version: ModelVersion | None = None
        self._wait, self._until = FIRST_WAIT, 0.0

    def waits(self, version: ModelVersion) -> bool:
        """Whether it is too early to go on with this version."""
        return version == self._version and time.monotonic() < self._until

    def broke_off(self, version: ModelVersion) -> None:
        """Wait, twice as long each time."""
        self._wait = FIRST_WAIT if version != self._version else self._wait
        self._version, self._until = version, time.monotonic() + self._wait
        self._wait = min(2 * self._wait, LONGEST_WAIT)

    def close(self) -> None:
        """Remove what came."""
        self._open.close()

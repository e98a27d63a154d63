"""Temporary folders, and what became of those whose process was killed."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "gtrans-run-"
_LOCK = ".in-use"
_YOUNG_SECONDS = 60.0
"""A folder this young may be about to be locked."""


@contextmanager
def scratch_folder() -> Iterator[str]:
    """A new temporary folder, gone afterwards; those of killed processes go now.

    Its lock ends with this process, however that ends.
    """
    _sweep()
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder,
        (Path(folder) / _LOCK).open("wb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # Another user's folder is not ours to remove; another run may remove it first.
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _YOUNG_SECONDS and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    with (folder / _LOCK).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError while somebody works there
    return True

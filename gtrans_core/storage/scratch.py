"""Temporary folders, and what became of those whose process was killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
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
        with suppress(OSError):  # another run may remove it first
            if _is_ours(folder) and _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    """Whether it is a folder of this user's; anybody may put things of that name into /tmp."""
    status = folder.lstat()
    is_old = time.time() - status.st_mtime > _YOUNG_SECONDS
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and is_old


def _is_abandoned(folder: Path) -> bool:
    # To open a pipe would wait without end.
    lock = os.open(folder / _LOCK, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError while somebody works there
    finally:
        os.close(lock)
    return True

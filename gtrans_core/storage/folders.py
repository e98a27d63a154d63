"""Preparing a whole folder once, even if several processes want it at the same time."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from gtrans_core.storage.atomic import storage_error, write_atomic


def prepare_folder(folder: Path, build: Callable[[Path], None]) -> bool:
    """Have ``build`` fill a folder, unless an earlier call has finished doing so.

    ``build`` gets a path that does not exist yet, beside ``folder``; the result is moved to its
    place at the end and a marker is written last. What an interrupted call left is thrown away.

    Returns:
        Whether it was built now.

    Raises:
        StorageError: when the place cannot be written. What ``build`` raises passes through.
    """
    marker = complete_marker(folder)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    if _is_complete(folder, marker):
        return False
    with exclusive(folder):
        if _is_complete(folder, marker):  # by the process we waited for
            return False
        try:
            marker.unlink(missing_ok=True)
            _remove(folder)
            _remove(unfinished)
            build(unfinished)
            # One flush for everything instead of an fsync for each of thousands of images.
            os.sync()
            unfinished.rename(folder)
        except OSError as error:
            raise storage_error(folder, error, needed=0) from None
        finally:
            _remove(unfinished)
        write_atomic(marker, b"")
        return True


def complete_marker(folder: Path) -> Path:
    """What says that ``prepare_folder`` has finished; without it, the folder is made anew."""
    return folder.with_name(f".{folder.name}.complete")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Let one process at a time work on ``path``; the others wait here. A kill frees the lock.

    Raises:
        StorageError: when the lock file beside ``path`` cannot be made.
    """
    lock = path.with_name(f".{path.name}.lock")
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fcntl.flock(stack.enter_context(lock.open("ab")), fcntl.LOCK_EX)
        except OSError as error:
            raise storage_error(path, error, needed=0) from None
        yield


def _is_complete(folder: Path, marker: Path) -> bool:
    return marker.is_file() and folder.is_dir()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)

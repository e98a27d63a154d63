"""Local files that are whole or not there, and the checks made before writing them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gtrans_core.errors import StorageError
from gtrans_core.system.text import cut_to_bytes

TEMPORARY_SUFFIX = ".tmp"
_LONGEST_BEGINNING = 200
"""Bytes of a file's name that its temporary one begins with: a whole name has 255 at most."""
# What linking says on SMB, some FUSE and other file systems that have none.
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a crash at any moment, finds the old bytes or the new.

    Raises:
        StorageError: naming the file and why (a full disk: with the needed and the free bytes);
            whatever was there before is intact and no temporary file is left.
    """
    with replacing(path, size=len(data)) as file:
        file.write(data)


@contextlib.contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[BinaryIO]:
    """A new file that takes ``path``'s place when the block ends well, and else leaves no trace.

    Args:
        path: the final name; missing folders are made.
        size: bytes about to be written; room for them is checked beforehand.

    Raises:
        StorageError: naming the file and why it cannot be written.
    """
    temporary = temporary_beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        require_free_space(path.parent, size, path.name)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error, needed=size) from None
    finally:
        _discard(temporary)


def publish(temporary: Path, final: Path) -> bool:
    """Give a finished file its final name unless somebody else has: first come, first kept.

    Both must be on one file system. ``temporary`` is gone afterwards, whatever happens. Where the
    file system has no hard links, two who publish at the same moment may both believe they did;
    the file is whole in any case.

    Returns:
        Whether this call published it (else ``final`` was there already, and stays).

    Raises:
        StorageError: naming the file and why.
    """
    try:
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        _link(temporary, final)
        _sync_folder(final.parent)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(final, error, needed=0) from None
    finally:
        _discard(temporary)
    return True


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file's bytes.

    Raises:
        StorageError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from None


def require_free_space(folder: Path, needed_bytes: int, what: str) -> None:
    """Check beforehand that ``what`` fits, so that no disk fills up half-way.

    Raises:
        StorageError: with the needed and the free bytes.
    """
    try:
        free = _free_bytes(folder)
    except OSError as error:
        raise storage_error(folder, error, needed=needed_bytes) from None
    if needed_bytes > free:
        raise StorageError(
            f"{folder}: {what} needs {needed_bytes:,} bytes and {free:,} are free; "
            "make room or choose another folder"
        )


def require_writable(folder: Path) -> None:
    """Make the folder if need be and prove, by writing, that files can be made in it.

    Permission bits alone would not tell: root passes them on a read-only mount too.

    Raises:
        StorageError: naming the folder and why.
    """
    probe = temporary_beside(folder / "probe")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with probe.open("xb") as file:
            file.write(b"\0")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(folder, error, needed=1) from None
    finally:
        _discard(probe)


def nearest_existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((one for one in (path, *path.parents) if os.access(one, os.F_OK)), path)


def temporary_beside(path: Path) -> Path:
    """A name nobody else uses, in the same folder, hidden, recognised by ``is_temporary``."""
    name = cut_to_bytes(path.name, _LONGEST_BEGINNING)
    return path.with_name(f".{name}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")


def is_temporary(path: Path) -> bool:
    """Whether a file is unfinished work (of this process, or of one that was killed)."""
    return path.name.startswith(".") and path.name.endswith(TEMPORARY_SUFFIX)


def storage_error(path: Path, error: OSError, needed: int) -> StorageError:
    """An operating-system error in one line; a full disk with the needed and the free bytes."""
    if is_full(error):
        return StorageError(
            f"{path}: the disk is full: {needed:,} bytes needed, {_free_bytes(path):,} free; "
            "make room or choose another folder"
        )
    reason = error.strerror or type(error).__name__
    return StorageError(f"{path}: cannot be written ({reason}); choose a folder that can be")


def is_full(error: BaseException) -> bool:
    """Whether the operating system says that a disk, or somebody's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def file_error(error: OSError) -> StorageError:
    """What the operating system says of a file, or of a connection that nobody else told of."""
    return StorageError(_file_fault(error), passing=isinstance(error, ConnectionError))


def _file_fault(error: OSError) -> str:
    if "temporary directory" in str(error.strerror):  # tempfile's
        return (
            "no folder for temporary files can be written: make room in /tmp, or name another "
            "folder in TMPDIR"
        )
    if error.errno is None or isinstance(error, ConnectionError):  # not about a file
        said = " ".join(str(error).split())[:200]
        return (
            f"unexpected answer from this machine ({type(error).__name__}: {said or 'no reason'})"
        )
    name = error.filename
    file = os.fsdecode(name) if isinstance(name, str | bytes) else "a file"
    if is_full(error):
        return f"{file}: the disk is full; make room or choose another folder"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{file}: too many files are open at once; raise the limit (`ulimit -n 4096`)"
    return (
        f"{file}: expected a file or folder that can be used here "
        f"({error.strerror}); check its path and its rights"
    )


def _link(temporary: Path, final: Path) -> None:
    """Give a file a second name; raises FileExistsError when that is taken."""
    try:
        final.hardlink_to(temporary)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if final.exists():
            raise FileExistsError from None
        temporary.replace(final)


def _free_bytes(folder: Path) -> int:
    """Bytes an ordinary user may still write on the folder's (or its nearest parent's) disk."""
    return shutil.disk_usage(nearest_existing(folder)).free


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()

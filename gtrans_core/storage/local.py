"""A local folder as a store."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from gtrans_core.errors import StorageError
from gtrans_core.storage.atomic import (
    is_temporary,
    publish,
    replacing,
    temporary_beside,
    write_atomic,
)
from gtrans_core.storage.store import (
    MOST_READ,
    Entry,
    checked_name,
    require_as_listed,
    require_at_most,
)


class LocalStore:
    """Files below a folder (see ``Store`` for the verbs)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, name: str, most: int = MOST_READ) -> bytes:
        """All of a file, of ``most`` bytes."""
        path = self._path(name)
        with _reading(path):
            require_at_most(str(path), path.stat().st_size, most)
            return path.read_bytes()

    def write(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write a file, whole or not at all; False when it may not be overwritten."""
        path = self._path(name)
        if overwrite:
            write_atomic(path, data)
            return True
        temporary = temporary_beside(path)
        write_atomic(temporary, data)
        return publish(temporary, path)

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""
        path = self._path(name)
        with _reading(path):
            return path.is_file()

    def list(self, prefix: str = "") -> Sequence[Entry]:
        """Every finished file whose name starts with ``prefix``, by name."""
        with _reading(self.root):
            files = [p for p in self.root.rglob("*") if p.is_file() and not is_temporary(p)]
            entries = [self._entry(path) for path in files]
        return sorted((e for e in entries if e.name.startswith(prefix)), key=lambda e: e.name)

    def folders(self) -> Sequence[str]:
        """Names of the folders right below the root."""
        with _reading(self.root):
            return sorted(path.name for path in self.root.glob("*") if path.is_dir())

    def download(self, name: str, path: Path, listed: Entry | None = None) -> None:
        """Copy a file to another path, where it appears complete or not at all."""
        source = self._path(name)
        with _reading(source):
            now = self._entry(source)
            require_as_listed(str(source), now.size, now.etag, listed)
            file = source.open("rb")
        with file, replacing(path, size=os.fstat(file.fileno()).st_size) as copy:
            shutil.copyfileobj(file, copy)

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name)

    def _entry(self, path: Path) -> Entry:
        status = path.stat()
        return Entry(
            name=path.relative_to(self.root).as_posix(),
            size=status.st_size,
            etag=f"{status.st_mtime_ns:x}-{status.st_size:x}",
        )


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from None

"""A file system of memory that is as full as a test wants it to be."""

from __future__ import annotations

import os
from pathlib import Path

SIZE = 2 * 2**20
"""Bytes."""


class Disk:
    """A file system of two megabytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def leave(self, free: int) -> None:
        """Fill it up until so many bytes are free."""
        filler = self.folder / "filler"
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(self.free() - free))

    def free(self) -> int:
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def names(self) -> set[str]:
        paths = self.folder.rglob("*")
        return {path.name for path in paths if path.is_file()} - {"filler"}

"""The few verbs of a store, and the names that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import urlsplit

from gtrans_core.errors import StorageError
from gtrans_core.system.text import printable

MOST_READ = 1 << 30
"""Bytes of a file that is read into memory, unless its reader says otherwise."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file in a store: its name below the store's root, bytes, and a tag that changes with it."""

    name: str
    size: int
    etag: str


class TooLargeError(StorageError):
    """A file has more bytes than its reader takes; none of them was read."""


class Store(Protocol):
    """Files by name. A name is relative, with forward slashes, and never leads out of the store.

    Every verb raises StorageError, naming the file, when the store cannot do it.
    """

    def read(self, name: str, most: int = MOST_READ) -> bytes:
        """All of a file; TooLargeError where it has more than ``most`` bytes."""

    def write(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write a file, whole or not at all.

        Returns:
            False when ``overwrite`` is off and the file was there already (and stays as it is).
        """

    def exists(self, name: str) -> bool:
        """Whether there is such a file."""

    def list(self, prefix: str = "") -> Sequence[Entry]:
        """Every file whose name starts with ``prefix``, by name."""

    def folders(self) -> Sequence[str]:
        """Names of the folders right below the root."""

    def download(self, name: str, path: Path, listed: Entry | None = None) -> None:
        """Copy a file to a local path, where it appears complete or not at all.

        One that is no longer as it was ``listed`` is refused.
        """


def require_as_listed(url: str, size: int, etag: str, listed: Entry | None) -> None:
    """Refuse a file that is another by now than the one in the listing.

    Raises:
        StorageError: naming it.
    """
    if listed is not None and (size, etag) != (listed.size, listed.etag):
        raise StorageError(
            f"{url}: changed since it was listed ({size:,} bytes with the tag {etag[:40]}, in the "
            f"listing {listed.size:,} with {listed.etag[:40]}); run the command again"
        )


def require_at_most(url: str, size: int, most: int) -> None:
    """Refuse a file that is too large.

    Raises:
        TooLargeError: naming it.
    """
    if size > most:
        raise TooLargeError(f"{url}: too large, {size:,} bytes; expected at most {most:,}")


def checked_name(name: str) -> str:
    """The name itself.

    Raises:
        StorageError: for an empty or absolute name, or one that leads out of the store.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or printable(name) != name:
        raise StorageError(f"{name!r}: not a name inside a store (relative, without '..')")
    return name


def without_secrets(url: str) -> str:
    """A URL fit for a log: no user, password, query or fragment."""
    parts = urlsplit(url)
    if not parts.scheme:
        return url
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"

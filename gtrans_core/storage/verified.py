"""Files that carry their own sha256 in their name: written whole or not at all, checked when read.

Feature-cache shards and checkpoints are such files: a truncated or flipped one is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import Any

from gtrans_core.storage import LocalStore
from gtrans_core.storage.documents import parse_json

_NAME = re.compile(r".+-(?P<sha256>[0-9a-f]{64})\.[a-z]+")


class DamagedFileError(Exception):
    """A file whose bytes are not those its name promises."""


def write_verified(
    folder: Path, stem: str, suffix: str, data: bytes, *, overwrite: bool = True
) -> Path:
    """Write ``STEM-SHA256.SUFFIX`` atomically.

    With ``overwrite``, writing the same bytes again mends a damaged file; without, a file of that
    name stays, so that of two writers the first one publishes it and the second changes nothing.

    Raises:
        StorageError: when the folder cannot be written or has no room.
    """
    name = f"{stem}-{hashlib.sha256(data).hexdigest()}.{suffix}"
    LocalStore(folder).write(name, data, overwrite=overwrite)
    return folder / name


def read_verified(path: Path) -> bytes:
    """The file's bytes, read once and compared with the digest in its name.

    Raises:
        DamagedFileError: when the file is missing, misnamed, truncated or changed.
    """
    promised = _NAME.fullmatch(path.name)
    if promised is None:
        raise DamagedFileError(f"{path}: its name has no sha256")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != promised["sha256"]:
        raise DamagedFileError(f"{path}: {len(data)} bytes that do not match its sha256")
    return data


def safetensors_header(data: bytes | memoryview) -> dict[str, Any]:
    """The header of a safetensors file: its length (8 bytes, little endian), then JSON.

    Raises:
        OddDocumentError: when it is not JSON.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    header: dict[str, Any] = parse_json(bytes(data[8:end]))
    return header


def quarantine(path: Path) -> None:
    """Set a damaged file aside as ``NAME.damaged``, so that it is kept but never read again."""
    with contextlib.suppress(FileNotFoundError):  # gone, or set aside by another process
        path.replace(path.with_name(path.name + ".damaged"))

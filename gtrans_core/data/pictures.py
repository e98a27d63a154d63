"""Which files are images: one answer for training and for scoring.

A file is an image when its suffix or, whatever that is, its first bytes say so. Pictures in a
format that is not read (HEIC, GIF, a camera's raw file) are images too: they are refused by name,
never passed over. Everything else is left out and counted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from gtrans_core.system.text import printable

SUFFIXES = (
    *(".apng", ".bmp", ".dib", ".jfif", ".jpe", ".jpeg", ".jpg", ".mpo"),
    *(".png", ".tif", ".tiff", ".webp"),
)
"""Of files that are read, in any case of letters."""

MAX_FILE_BYTES = 512 * 2**20
"""Above what 50 megapixels take uncompressed at 16 bits a channel: larger files are not read."""

SAVE_AS = "save it as PNG, JPEG, BMP, TIFF or WebP"

_NOT_READ = {
    *(".arw", ".avif", ".cr2", ".cr3", ".crw", ".dng", ".exr", ".gif", ".hdr", ".heic", ".heif"),
    *(".j2c", ".j2k", ".jp2", ".jpx", ".jxl", ".jxr", ".nef", ".orf", ".pbm", ".pcx", ".pef"),
    *(".pgm", ".pnm", ".ppm", ".psd", ".raf", ".rw2", ".sr2", ".srw", ".tga"),
}
_SUFFIX = re.compile(r"\.\w{1,12}")
_STARTS = re.compile(
    rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|II\*\0|MM\0\*|II\+\0|MM\0\+|RIFF.{4}WEBP"
    rb"|BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}",
    re.DOTALL,
)


def is_picture(path: Path) -> bool:
    """Whether a file is an image, by its suffix or else by its first bytes.

    A link to nothing, or a file that cannot be read, counts where its name has no suffix.
    """
    if is_picture_name(path.name):
        return True
    try:
        if not path.stat().st_size or not path.is_file():
            return False
        with path.open("rb") as file:
            return starts_as_picture(file.read(32))
    except OSError:
        return not has_suffix(path.name)


def is_picture_name(name: str) -> bool:
    """Whether the suffix is that of an image, of a format that is read or not."""
    return _suffix(name) in SUFFIXES or _suffix(name) in _NOT_READ


def starts_as_picture(data: bytes) -> bool:
    """Whether these are the first bytes (32 are enough) of an image in a format that is read."""
    return _STARTS.match(data) is not None


def has_suffix(name: str) -> bool:
    """Whether a name ends in something like ``.txt``."""
    return _suffix(name) != ""


def why_not_read(name: str) -> str:
    """Why a picture of this suffix is not read; ``""`` for one that is.

    By the name alone: a camera's raw file holds a small preview that would decode.
    """
    suffix = _suffix(name)
    if suffix not in _NOT_READ:
        return ""
    return f"{suffix[1:].upper()} is not read, {SAVE_AS}"


def by_suffix(names: Iterable[str]) -> str:
    """How many of each suffix: ``3 .txt, 1 .mp4, 2 without a suffix``."""
    counts = Counter(map(_suffix, names))
    return ", ".join(
        f"{count} {printable(suffix) if suffix else 'without a suffix'}"
        for suffix, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _suffix(name: str) -> str:
    """In small letters; ``part 12.5 mm`` has none."""
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if _SUFFIX.fullmatch(suffix) else ""

"""The members of a tar or zip one after the other, as a stream, whatever the format."""

from __future__ import annotations

import functools
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gtrans_core.errors import DataError

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_XZ = b"\xfd7zXZ\x00"
_GZIP = b"\x1f\x8b"
_TAR_MAGIC_AT, _TAR_MAGIC = 257, b"ustar"
_ENCRYPTED = 0x1
# Headers and padding, on top of what the members hold.
_TAR_OVERHEAD_BYTES = 1 << 20


class UnsafeMemberError(Exception):
    """A member that must not be unpacked, and why."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name!r} {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True)
class ArchiveMember:
    """A file or folder in an archive. A tar's is readable only until the next one is asked for."""

    name: str
    is_folder: bool
    size: int
    """Bytes unpacked."""
    packed_bytes: int
    """Bytes of the archive it came from: its own in a zip; all of it in a tar."""
    position: int
    """Bytes of the archive read so far."""
    open: Callable[[], IO[bytes]]


def read_members(archive: Path, max_ratio: float) -> Iterator[ArchiveMember]:
    """Each file and folder of an archive, in its order.

    Args:
        archive: a file; its first bytes tell the format.
        max_ratio: stop unpacking headers and padding beyond this many times the archive's size.

    Raises:
        UnsafeMemberError: for a link, a device, an encrypted or a sparse member.
        DataError: when it is no archive.
    """
    with archive.open("rb") as raw:
        start = raw.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
        raw.seek(0)
        if start.startswith(_ZIP):
            yield from _zip_members(raw)
        elif start.startswith(_XZ):
            with lzma.open(raw) as plain:
                yield from _tar_members(raw, plain, max_ratio)
        elif start.startswith(_GZIP):
            with gzip.open(raw) as plain:
                yield from _tar_members(raw, plain, max_ratio)
        elif start[_TAR_MAGIC_AT:] == _TAR_MAGIC:
            yield from _tar_members(raw, raw, max_ratio)
        else:
            raise DataError(
                f"{archive}: not a .tar.xz, .tar.gz, .tar or .zip (it begins with {start[:16]!r})"
            )


def _zip_members(raw: io.BufferedReader) -> Iterator[ArchiveMember]:
    position = 0
    with zipfile.ZipFile(raw) as archive:
        for info in archive.infolist():
            name = info.orig_filename
            _require_plain(name, stat.S_IFMT(info.external_attr >> 16))
            if info.flag_bits & _ENCRYPTED:
                raise UnsafeMemberError(name, "is encrypted")
            position += info.compress_size
            yield ArchiveMember(
                name=name,
                is_folder=name.endswith("/"),
                size=info.file_size,
                packed_bytes=info.compress_size,
                position=position,
                open=functools.partial(archive.open, info),
            )


def _tar_members(
    raw: io.BufferedReader, plain: io.BufferedIOBase, max_ratio: float
) -> Iterator[ArchiveMember]:
    packed_bytes = _size_of(raw)
    stream = _MeteredStream(plain, int(max_ratio * packed_bytes) + _TAR_OVERHEAD_BYTES)
    end = 0
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for info in archive:
            _require_plain_tar(info)
            yield ArchiveMember(
                name=info.name,
                is_folder=info.isdir(),
                size=info.size,
                packed_bytes=packed_bytes,
                position=raw.tell(),
                open=functools.partial(_opened, archive, info),
            )
            end = info.offset_data + -(-info.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        # tarfile takes a damaged header for the end: behind the last member there must be nothing
        # but zeros, and some. Reading on also has xz and gzip verify their checksums.
        stream.drain()
    if stream.last_content > end or stream.position < end + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("a header in the middle is damaged, or the end is missing")


def _require_plain_tar(info: tarfile.TarInfo) -> None:
    if info.issym() or info.islnk():
        raise UnsafeMemberError(info.name, "is a link")
    if info.issparse():
        raise UnsafeMemberError(info.name, "is a sparse file")
    if not (info.isreg() or info.isdir()):
        raise UnsafeMemberError(info.name, "is a device or another special file")


def _require_plain(name: str, file_type: int) -> None:
    if file_type == stat.S_IFLNK:
        raise UnsafeMemberError(name, "is a link")
    if file_type not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsafeMemberError(name, "is a device or another special file")


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    return archive.extractfile(info) or io.BytesIO()


def _size_of(raw: io.BufferedReader) -> int:
    size = raw.seek(0, io.SEEK_END)
    raw.seek(0)
    return size


class _MeteredStream(io.RawIOBase):
    """Unpacked bytes on their way to tarfile: counted, bounded, and watched for zeros at the end.

    The bound stops what members' sizes do not show, such as a header of gigabytes of zeros.
    """

    def __init__(self, source: io.BufferedIOBase, limit: int) -> None:
        super().__init__()
        self._source = source
        self._limit = limit
        self.position = 0
        self.last_content = 0

    def read(self, size: int = -1) -> bytes:
        """Up to ``size`` bytes."""
        data = self._source.read(size)
        content = len(data.rstrip(b"\0"))
        if content:
            self.last_content = self.position + content
        self.position += len(data)
        if self.position > self._limit:
            raise UnsafeMemberError("(a header)", "unpacks to far more than the archive's size")
        return data

    def drain(self) -> None:
        """Read to the end."""
        while self.read(1 << 20):
            pass

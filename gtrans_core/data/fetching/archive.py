"""Archives from elsewhere, unpacked safely: everything is checked before anything is written.

A ``.tar``, ``.tar.xz``, ``.tar.gz`` or ``.zip`` is read twice, the second time to write. Refused:
absolute names, ``..``, links, devices, encrypted or sparse members, two members of one name, too
many members, too many bytes, too high a compression ratio. Both passes run the same checks.
"""

from __future__ import annotations

import contextlib
import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from gtrans_core.data.fetching.archive_readers import ArchiveMember, UnsafeMemberError, read_members
from gtrans_core.errors import DataError
from gtrans_core.storage import require_free_space, storage_error

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
)
_CHUNK = 1 << 20
_LONGEST_NAME = 4096  # PATH_MAX


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold at most."""

    members: int = 200_000
    total_bytes: int = 100 * 10**9
    ratio: float = 100.0
    """Unpacked bytes for each byte of the archive (and, in a zip, of each member)."""


def extract_archive(
    archive: Path,
    target: Path,
    *,
    on_progress: Callable[[int, int], None],
    subfolder: str = "",
    limits: ArchiveLimits | None = None,
) -> None:
    """Unpack an archive (or only what is in its top-level ``subfolder``) into ``target``.

    One call at a time for one target (``prepare_folder`` sees to that).

    Args:
        archive: a tar (plain, xz, gz) or zip, recognised by its first bytes.
        target: must not exist; appears at the end, complete. Nothing is written outside it.
        on_progress: called with bytes of the archive read and to read, in both passes together.
        subfolder: keep only this folder's members, without its name; empty: everything.
        limits: what is too much.

    Raises:
        DataError: naming the member that is not safe, or that the archive is damaged.
        StorageError: when there is no room or no right to write.
    """
    limits = limits or ArchiveLimits()
    unfinished = target.with_name(f".{target.name}.unpacking")
    with _damage_reported(archive):
        needed = _validated_bytes(archive, subfolder, limits, on_progress)
    require_free_space(target.parent, needed, f"unpacking {archive.name}")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # left by a call that was killed
        with _damage_reported(archive):
            _write_members(archive, unfinished, subfolder, limits, on_progress)
        unfinished.rename(target)
    except OSError as error:
        raise storage_error(target, error, needed=needed) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _validated_bytes(
    archive: Path, subfolder: str, limits: ArchiveLimits, on_progress: Callable[[int, int], None]
) -> int:
    """Walk the whole archive, writing nothing; the bytes that unpacking will write."""
    needed, folders = 0, set()
    whole = 2 * archive.stat().st_size
    for member, path in _checked_members(archive, limits):
        if member.is_folder or len(path.parts) > 1:
            folders.add(path.parts[0])
        if not subfolder or path.parts[0] == subfolder:
            needed += member.size
        on_progress(min(member.position, whole // 2), whole)
    if subfolder and subfolder not in folders:
        there = ", ".join(sorted(folders)[:30]) or "none"
        raise DataError(f"{archive}: holds no folder {subfolder!r}; folders there: {there}")
    return needed


def _write_members(
    archive: Path,
    folder: Path,
    subfolder: str,
    limits: ArchiveLimits,
    on_progress: Callable[[int, int], None],
) -> None:
    folder.mkdir(parents=True)
    whole = 2 * archive.stat().st_size
    for member, path in _checked_members(archive, limits):
        on_progress(min(whole // 2 + member.position, whole), whole)
        if subfolder:
            if path.parts[0] != subfolder:
                continue
            path = path.relative_to(subfolder)
        if member.is_folder:
            (folder / path).mkdir(parents=True, exist_ok=True)
        else:
            _write_member(member, folder / path)


def _write_member(member: ArchiveMember, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, path.open("xb") as copy:
        shutil.copyfileobj(source, copy, _CHUNK)
        if copy.tell() != member.size:
            raise EOFError(f"{member.name!r} ends early")


def _checked_members(
    archive: Path, limits: ArchiveLimits
) -> Iterator[tuple[ArchiveMember, PurePosixPath]]:
    """Each member with its normalised path; raises at the first that is not safe."""
    inspection = _Inspection(limits, archive_bytes=archive.stat().st_size)
    try:
        for member in read_members(archive, limits.ratio):
            path = PurePosixPath(member.name)
            if member.is_folder and not path.parts:
                continue  # "./", the archive's own root
            problem = inspection.problem_with(member, path)
            if problem:
                raise UnsafeMemberError(member.name, problem)
            yield member, path
    except UnsafeMemberError as unsafe:
        raise DataError(
            f"{archive}: member {unsafe.name!r} {unsafe.problem}; "
            "the archive was refused and nothing of it was unpacked"
        ) from None


@dataclass
class _Inspection:
    """What has been seen of an archive so far."""

    limits: ArchiveLimits
    archive_bytes: int
    members: int = 0
    total_bytes: int = 0
    names: set[PurePosixPath] = field(default_factory=set)
    files: set[PurePosixPath] = field(default_factory=set)
    folders: set[PurePosixPath] = field(default_factory=set)

    def problem_with(self, member: ArchiveMember, path: PurePosixPath) -> str | None:
        """Why the next member is not safe; None when it is."""
        return (
            _problem_with_name(member.name, path)
            or self._problem_with_place(member, path)
            or self._problem_with_size(member)
        )

    def _problem_with_place(self, member: ArchiveMember, path: PurePosixPath) -> str | None:
        if path in self.names:
            return "is there twice"
        parents = list(path.parents)
        if not self.files.isdisjoint(parents) or (not member.is_folder and path in self.folders):
            return "is a file in one place and a folder in another"
        self.names.add(path)
        self.folders.update(parents)
        if not member.is_folder:
            self.files.add(path)
        return None

    def _problem_with_size(self, member: ArchiveMember) -> str | None:
        self.members += 1
        self.total_bytes += member.size
        if self.members > self.limits.members:
            return f"is one too many (at most {self.limits.members:,})"
        if self.total_bytes > self.limits.total_bytes:
            return f"makes it too large (at most {self.limits.total_bytes:,} bytes unpacked)"
        if (
            self.total_bytes > self.limits.ratio * self.archive_bytes
            or member.size > self.limits.ratio * member.packed_bytes
        ):
            return f"is compressed more than {self.limits.ratio:g}-fold (a decompression bomb)"
        return None


def _problem_with_name(name: str, path: PurePosixPath) -> str | None:
    if not path.parts or len(name) > _LONGEST_NAME or not name.isprintable():
        return "has an unusable name"
    if path.is_absolute() or PureWindowsPath(name).drive:
        return "has an absolute path"
    if ".." in path.parts:
        return "leads out of the folder ('..')"
    if "\\" in name:
        return "has a backslash in its name"
    return None


@contextlib.contextmanager
def _damage_reported(archive: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{archive}: damaged archive ({reason}); delete it and fetch it again"
        ) from None

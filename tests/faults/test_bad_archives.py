"""Fault 9: real malicious archives, refused before anything is written, the member named."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.data.fetching.archive import ArchiveLimits, extract_archive
from gtrans_core.errors import DataError, StorageError

NOISE = os.urandom(20_000)
Members = list[tuple[str, bytes]]


def silent(done: int, total: int) -> None:
    assert 0 <= done <= total


def make_tar(path: Path, members: Members, *infos: tarfile.TarInfo) -> Path:
    with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in infos:
            archive.addfile(info)
    return path


def make_zip(path: Path, members: Members, *infos: zipfile.ZipInfo) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
        for info in infos:
            archive.writestr(info, "target")
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix
    info.external_attr = (mode | 0o644) << 16
    return info


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_refused(archive: Path, names: str, because: str) -> None:
    """Refused with the member's name, and nothing but the archive is in its folder."""
    room = archive.parent
    before = files_in(room.parent)
    with pytest.raises(DataError) as caught:
        extract_archive(archive, room / "target", on_progress=silent)
    text = str(caught.value)
    assert names in text
    assert because in text
    assert str(archive) in text
    assert "\n" not in text
    assert files_in(room.parent) == before
    assert [path.name for path in room.iterdir()] == [archive.name]


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder in a folder, so that ``../x`` would be seen."""
    (tmp_path / "room").mkdir()
    return tmp_path / "room"


GOOD: Members = [("a/one.png", NOISE), ("a/b/two.png", NOISE[::-1]), ("c/empty", b"")]


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz", ".tar.gz", ".zip"])
def test_good_archives(room: Path, suffix: str) -> None:
    make = make_zip if suffix == ".zip" else make_tar
    archive = make(room / f"good{suffix}", GOOD)
    seen: list[tuple[int, int]] = []
    extract_archive(archive, room / "out", on_progress=lambda d, t: seen.append((d, t)))
    assert files_in(room / "out") == dict(GOOD)
    assert seen == sorted(seen)
    assert sorted(path.name for path in room.iterdir()) == [archive.name, "out"]


@pytest.mark.parametrize("suffix", [".tar.xz", ".zip"])
def test_one_subfolder_only(room: Path, suffix: str) -> None:
    make = make_zip if suffix == ".zip" else make_tar
    archive = make(room / f"good{suffix}", [("license.txt", b"x"), *GOOD])
    extract_archive(archive, room / "out", subfolder="a", on_progress=silent)
    assert files_in(room / "out") == {"one.png": NOISE, "b/two.png": NOISE[::-1]}
    with pytest.raises(DataError, match=r"holds no folder 'z'; folders there: a, c"):
        extract_archive(archive, room / "none", subfolder="z", on_progress=silent)
    assert not (room / "none").exists()


def test_file_with_the_name_of_the_subfolder(room: Path) -> None:
    archive = make_tar(room / "x.tar.xz", [("bottle", NOISE)])
    with pytest.raises(DataError, match=r"holds no folder 'bottle'; folders there: none"):
        extract_archive(archive, room / "out", subfolder="bottle", on_progress=silent)


def test_archive_of_a_folder_as_tar_makes_it(room: Path) -> None:
    """``tar -C dir -cJf x.tar.xz .`` writes "./" and "./a/" members."""
    folder = room / "source"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "f").write_bytes(NOISE)
    with tarfile.open(room / "x.tar.xz", "w:xz") as archive:
        archive.add(folder, ".")
    extract_archive(room / "x.tar.xz", room / "out", on_progress=silent)
    assert files_in(room / "out") == {"a/f": NOISE}


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz", ".tar.gz", ".zip"])
@pytest.mark.parametrize(
    ("name", "because"),
    [
        ("../x", "leads out"),
        ("a/../../x", "leads out"),
        ("a/..", "leads out"),
        ("/etc/x", "absolute path"),
        ("//x", "absolute path"),
        ("C:/x", "absolute path"),
        ("..\\x", "backslash"),
        ("a\nb", "unusable name"),
        ("a/" * 2500 + "x", "unusable name"),
        ("a/one.png", "twice"),
        ("a/./one.png", "twice"),
        ("a/one.png/below", "a file in one place and a folder"),
        ("a", "a file in one place and a folder"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_names(room: Path, suffix: str, name: str, because: str) -> None:
    make = make_zip if suffix == ".zip" else make_tar
    archive = make(room / f"bad{suffix}", [*GOOD, (name, b"evil")])
    assert_refused(archive, repr(name), because)


@pytest.mark.parametrize(
    ("member", "because"),
    [
        (special("link", tarfile.SYMTYPE, "/etc/passwd"), "is a link"),
        (special("link", tarfile.SYMTYPE, "a/one.png"), "is a link"),
        (special("link", tarfile.LNKTYPE, "a/one.png"), "is a link"),
        (special("link", tarfile.LNKTYPE, "../../x"), "is a link"),
        (special("device", tarfile.CHRTYPE), "is a device"),
        (special("device", tarfile.BLKTYPE), "is a device"),
        (special("pipe", tarfile.FIFOTYPE), "is a device"),
    ],
)
def test_special_tar_members(room: Path, member: tarfile.TarInfo, because: str) -> None:
    archive = make_tar(room / "bad.tar.xz", GOOD, member)
    assert_refused(archive, repr(member.name), because)


def test_symlink_and_then_a_file_through_it(room: Path) -> None:
    link = special("door", tarfile.SYMTYPE, "..")
    archive = room / "bad.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.addfile(link)
        info = tarfile.TarInfo("door/x")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    assert_refused(archive, "'door'", "is a link")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_special_zip_members(room: Path, mode: int) -> None:
    archive = make_zip(room / "bad.zip", GOOD, zip_special("special", mode))
    assert_refused(archive, "'special'", "link" if mode == stat.S_IFLNK else "device")


def test_zip_name_cut_short_by_a_zero_byte(room: Path) -> None:
    """Python's zipfile shortens such a name, to nothing if it begins with the zero."""
    archive = make_zip(room / "bad.zip", [("Xevil", NOISE)])
    archive.write_bytes(archive.read_bytes().replace(b"Xevil", b"\0evil"))
    assert_refused(archive, repr("\0evil"), "unusable name")


def test_encrypted_zip_member(room: Path) -> None:
    archive = make_zip(room / "bad.zip", [("secret", b"data")])
    data = bytearray(archive.read_bytes())
    central = data.index(b"PK\x01\x02")
    data[6] |= 1  # general purpose flags of the local header, and of the central directory
    data[central + 8] |= 1
    archive.write_bytes(data)
    assert_refused(archive, "'secret'", "encrypted")


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz", ".zip"])
def test_decompression_bomb(room: Path, suffix: str) -> None:
    make = make_zip if suffix == ".zip" else make_tar
    archive = make(room / f"bomb{suffix}", [("a/ok", NOISE), ("a/bomb", b"\0" * 40_000_000)])
    assert 100 * archive.stat().st_size < 40_000_000
    assert_refused(archive, "'a/bomb'", "more than 100-fold")


def test_small_zip_bomb_among_much_noise(room: Path) -> None:
    """The archive as a whole is below the ratio, the member is not."""
    noise = [(f"noise{n}", os.urandom(200_000)) for n in range(5)]
    archive = make_zip(room / "bomb.zip", [*noise, ("bomb", b"\0" * 3_000_000)])
    assert 100 * archive.stat().st_size > 4_000_000
    assert_refused(archive, "'bomb'", "more than 100-fold")


@pytest.mark.parametrize("opener", [lzma.open, gzip.open])
def test_bomb_hidden_in_a_header(room: Path, opener: Callable[..., io.IOBase]) -> None:
    """A pax header of 200 MB is read whole by tarfile, before any member shows."""
    header = special("x", tarfile.XHDTYPE)
    header.size = 200_000_000
    archive = room / "bomb.tar"
    with opener(archive, "wb", **({"preset": 0} if opener is lzma.open else {})) as packed:
        packed.write(header.tobuf())
        for _ in range(200):
            packed.write(b"\0" * 1_000_000)
    tracemalloc.start()
    assert_refused(archive, "(a header)", "far more than the archive's size")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60_000_000


def test_sparse_member(room: Path) -> None:
    """A terabyte that takes no room in the archive."""
    info = special("hole", tarfile.GNUTYPE_SPARSE)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[386:398] = b"00000000000\0"  # offset of the only piece
    header[398:410] = b"00000000000\0"  # its length
    header[483:495] = b"\x80" + struct.pack(">Q", 0)[:3] + struct.pack(">Q", 10**12)
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    archive = room / "bad.tar"
    archive.write_bytes(bytes(header) + b"\0" * 10_240)
    assert_refused(archive, "'hole'", "sparse")


@pytest.mark.parametrize(
    ("limits", "names"),
    [
        (ArchiveLimits(members=2), "'c/empty' is one too many (at most 2)"),
        (ArchiveLimits(total_bytes=30_000), "'a/b/two.png' makes it too large (at most 30,000"),
        (ArchiveLimits(ratio=0.5), "'a/b/two.png' is compressed more than 0.5-fold"),
    ],
)
def test_limits(room: Path, limits: ArchiveLimits, names: str) -> None:
    archive = make_tar(room / "large.tar.xz", GOOD)
    with pytest.raises(DataError) as caught:
        extract_archive(archive, room / "out", limits=limits, on_progress=silent)
    assert names in str(caught.value)
    assert not (room / "out").exists()


@pytest.mark.parametrize("suffix", [".tar", ".tar.xz", ".tar.gz", ".zip"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_truncated(room: Path, suffix: str, share: float) -> None:
    make = make_zip if suffix == ".zip" else make_tar
    archive = make(room / f"cut{suffix}", GOOD)
    data = archive.read_bytes()
    # A plain tar ends in padding: cut within what counts.
    size = 43_008 if suffix == ".tar" else len(data)
    archive.write_bytes(data[: int(share * size)])
    assert_refused(archive, "damaged archive", "fetch it again")


@pytest.mark.parametrize("members", [1, 2])
def test_truncated_between_two_members(room: Path, members: int) -> None:
    """A plain tar has no checksum: only the missing end tells."""
    archive = make_tar(room / "cut.tar", GOOD)
    archive.write_bytes(archive.read_bytes()[: members * (512 + 20_480)])
    assert_refused(archive, "damaged archive", "the end is missing")


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz"])
def test_truncated_within_the_checksum(room: Path, suffix: str) -> None:
    """All members are there; what would tell whether they are right is not."""
    archive = make_tar(room / f"cut{suffix}", GOOD)
    archive.write_bytes(archive.read_bytes()[:-6])
    assert_refused(archive, "damaged archive", "fetch it again")


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.gz", ".zip"])
def test_flipped_bit(room: Path, suffix: str) -> None:
    make = make_zip if suffix == ".zip" else make_tar
    archive = make(room / f"flipped{suffix}", GOOD)
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    assert_refused(archive, "damaged archive", "fetch it again")


def test_damaged_header_in_the_middle_is_not_the_end(room: Path) -> None:
    """tarfile by itself would stop there, silently, with half of the files."""
    archive = make_tar(room / "damaged.tar", GOOD)
    data = bytearray(archive.read_bytes())
    data[data.index(b"a/b/two.png")] ^= 1
    archive.write_bytes(data)
    assert_refused(archive, "damaged archive", "header in the middle")


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><p>Not found", os.urandom(1000)])
def test_no_archive_at_all(room: Path, content: bytes) -> None:
    archive = room / "page.tar.xz"
    archive.write_bytes(content)
    assert_refused(archive, "not a .tar.xz, .tar.gz, .tar or .zip", "begins with")


def test_no_room_is_found_beforehand(room: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=30_000))
    archive = make_tar(room / "good.tar.xz", GOOD)
    with pytest.raises(StorageError, match=r"good\.tar\.xz needs 40,000 bytes and 30,000 are free"):
        extract_archive(archive, room / "out", on_progress=silent)
    assert [path.name for path in room.iterdir()] == ["good.tar.xz"]


def test_leftovers_of_a_killed_call_are_no_obstacle(room: Path) -> None:
    (room / ".out.unpacking" / "a").mkdir(parents=True)
    (room / ".out.unpacking" / "a" / "one.png").write_bytes(b"half")
    archive = make_tar(room / "good.tar.xz", GOOD)
    extract_archive(archive, room / "out", on_progress=silent)
    assert files_in(room / "out") == dict(GOOD)
    assert not (room / ".out.unpacking").exists()


@given(
    name=st.lists(st.sampled_from([*"ab./\\:C\n~-ä", "..", "/../"]), min_size=1, max_size=8).map(
        "".join
    )
)
def test_no_name_ever_writes_outside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    room = tmp_path_factory.mktemp("outer") / "room"
    room.mkdir()
    archive = make_zip(room / "x.zip", [(name, b"data")])
    try:
        extract_archive(archive, room / "out", on_progress=silent)
    except DataError:
        expected = {"room/x.zip"}
    else:
        written = [n for n, data in files_in(room / "out").items() if data == b"data"]
        expected = {"room/x.zip", *(f"room/out/{n}" for n in written)}
    assert set(files_in(room.parent)) == expected

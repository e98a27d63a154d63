"""A file that names its own digest: any other bytes under that name are noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.errors import StorageError
from gtrans_core.storage.verified import DamagedFileError, quarantine, read_verified, write_verified

DATA = bytes(range(256)) * 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_verified(tmp_path, "shard-00000", "bin", DATA)


def damage(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    with pytest.raises(DamagedFileError) as caught:
        read_verified(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_round_trip_under_a_name_with_its_digest(path: Path) -> None:
    assert path.name == f"shard-00000-{hashlib.sha256(DATA).hexdigest()}.bin"
    assert read_verified(path) == DATA
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@given(data=st.binary(max_size=300))
def test_round_trip_of_any_bytes(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    assert read_verified(write_verified(folder, "x", "bin", data)) == data


@given(position=st.integers(0, 8 * len(DATA) - 1))
def test_one_flipped_bit_is_noticed(
    position: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write_verified(tmp_path_factory.mktemp("flip"), "x", "bin", DATA)
    flipped = bytearray(DATA)
    flipped[position // 8] ^= 1 << position % 8
    damage(path, bytes(flipped))


@given(length=st.integers(0, len(DATA) - 1))
def test_truncation_is_noticed(length: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = write_verified(tmp_path_factory.mktemp("cut"), "x", "bin", DATA)
    assert f"{length} bytes that do not match" in damage(path, DATA[:length])


def test_appended_bytes_are_noticed(path: Path) -> None:
    damage(path, DATA + b"\0")


def test_missing_file(path: Path) -> None:
    path.unlink()
    with pytest.raises(DamagedFileError, match="cannot be read"):
        read_verified(path)


@pytest.mark.parametrize(
    "name", ["shard-00000.bin", "shard-00000-abc.bin", "shard-00000-" + "0" * 64 + ".bin", "x"]
)
def test_renamed_file_is_not_trusted(path: Path, name: str) -> None:
    with pytest.raises(DamagedFileError, match=name):
        read_verified(path.rename(path.with_name(name)))


def test_the_stem_is_not_part_of_the_promise(path: Path) -> None:
    """The digest is: a shard may be copied elsewhere, or numbered anew."""
    assert read_verified(path.rename(path.parent / path.name.replace("00000", "00001"))) == DATA


def test_writing_the_same_bytes_again_mends(path: Path) -> None:
    damage(path, b"")
    assert write_verified(path.parent, "shard-00000", "bin", DATA) == path
    assert read_verified(path) == DATA


def test_quarantine_keeps_the_bytes_and_frees_the_name(path: Path) -> None:
    damage(path, b"torn")
    quarantine(path)
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").read_bytes() == b"torn"
    with pytest.raises(DamagedFileError, match="no sha256"):
        read_verified(path.with_name(path.name + ".damaged"))


def test_two_processes_may_set_the_same_file_aside(path: Path) -> None:
    quarantine(path)
    quarantine(path)
    assert [p.name for p in path.parent.iterdir()] == [path.name + ".damaged"]


def test_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written"):
        write_verified(tmp_path / "file", "x", "bin", DATA)

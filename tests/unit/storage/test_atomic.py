"""Files are whole or not there, and what stands in the way is said in one line."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gtrans_core.errors import StorageError
from gtrans_core.storage import (
    publish,
    replacing,
    require_free_space,
    require_writable,
    sha256_file,
    write_atomic,
)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert names_in(path.parent) == ["file"]


def test_a_name_as_long_as_a_disk_takes_is_written(tmp_path: Path) -> None:
    for name in ("x" * 251 + ".png", "é" * 127):
        write_atomic(tmp_path / name, b"x")
        assert (tmp_path / name).read_bytes() == b"x"
    assert len(list(tmp_path.iterdir())) == 2


def test_written_files_follow_the_umask(tmp_path: Path) -> None:
    """Temporary files are often 0600; another user's pod must be able to read a cache."""
    previous = os.umask(0o022)
    try:
        write_atomic(tmp_path / "file", b"x")
    finally:
        os.umask(previous)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_failed_write_keeps_the_old_file_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"disk is full: 1,000 bytes needed, [\d,]+ free"):
        write_atomic(path, b"x" * 1000)
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_exception_in_the_block_leaves_no_trace(tmp_path: Path) -> None:
    def write_half() -> None:
        with replacing(tmp_path / "file") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert names_in(tmp_path) == []


def test_write_below_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        write_atomic(tmp_path / "file" / "below", b"x")
    assert "\n" not in str(caught.value)


def test_killed_writer_never_leaves_a_torn_file(tmp_path: Path) -> None:
    """kill -9 in the middle of writing, ten times: what is there is one of the two contents."""
    path = tmp_path / "file"
    write_atomic(path, b"a" * 4_000_000)
    code = (
        "import sys; from pathlib import Path; from gtrans_core.storage import write_atomic\n"
        "print('ready', flush=True)\n"
        "while True:\n"
        "    for letter in (b'b', b'a'): write_atomic(Path(sys.argv[1]), letter * 4_000_000)"
    )
    for round_ in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        threading.Event().wait(0.005 * (1 + round_))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        assert path.read_bytes() in (b"a" * 4_000_000, b"b" * 4_000_000)


@pytest.mark.parametrize("links", [True, False])
def test_publish_first_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Also on a file system that has no hard links."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    if not links:
        monkeypatch.setattr(Path, "hardlink_to", refuse)
    final = tmp_path / "shard"
    for content in (b"first", b"second"):
        temporary = tmp_path / f"temporary-{content.decode()}"
        temporary.write_bytes(content)
        assert publish(temporary, final) is (content == b"first")
        assert not temporary.exists()
    assert final.read_bytes() == b"first"


def test_publish_race_has_one_winner(tmp_path: Path) -> None:
    won: list[bytes] = []
    start = threading.Barrier(8)

    def race(number: int) -> None:
        temporary = tmp_path / f"t{number}"
        content = str(number).encode() * 1000
        temporary.write_bytes(content)
        start.wait()
        if publish(temporary, tmp_path / "final"):
            won.append(content)

    threads = [threading.Thread(target=race, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == [(tmp_path / "final").read_bytes()]
    assert names_in(tmp_path) == ["final"]


def test_publish_failure_removes_the_temporary_file(tmp_path: Path) -> None:
    temporary = tmp_path / "t"
    temporary.write_bytes(b"x")
    with pytest.raises(StorageError, match="missing"):
        publish(temporary, tmp_path / "missing" / "final")
    assert not temporary.exists()


def test_sha256_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256_file(tmp_path / "f").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")
    with pytest.raises(StorageError, match="gone: cannot be read"):
        sha256_file(tmp_path / "gone")


def test_free_space(tmp_path: Path) -> None:
    require_free_space(tmp_path / "not" / "yet" / "there", 1, "a run")
    with pytest.raises(StorageError, match=r"a run needs 1,000,\S+ bytes and [\d,]+ are free"):
        require_free_space(tmp_path, 10**18, "a run")


def test_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "folder")
    assert names_in(tmp_path / "new" / "folder") == []


@pytest.mark.parametrize("below", ["file", "file/below"])
def test_file_in_the_way_of_a_folder(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        require_writable(tmp_path / below)
    assert str(tmp_path / below) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a /proc")
def test_file_system_that_takes_no_files_even_from_root() -> None:
    with pytest.raises(StorageError, match="/proc/self/out: cannot be written"):
        require_writable(Path("/proc/self/out"))

"""A killed run leaves its temporary folder behind until the next run begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from gtrans_core.storage.scratch import scratch_folder

KILLED = """
import os, signal
from gtrans_core.storage.scratch import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_run_removes_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = Path(done.stdout.strip())
    assert left.is_dir()
    with scratch_folder() as alive:
        assert left.is_dir(), "it may be about to be locked"
        for folder in (left, Path(alive)):
            os.utime(folder, (1, 1))
        with scratch_folder() as other:
            assert not left.exists()
            assert Path(alive).is_dir()
            assert other != alive
    assert not list(tmp_path.iterdir())


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What looks like a killed run's folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "gtrans-run-x"
    folder.mkdir()
    return folder


def test_a_pipe_in_the_place_of_a_lock_holds_nobody_up(left: Path):
    os.mkfifo(left / ".in-use")
    os.utime(left, (1, 1))
    with scratch_folder() as folder:
        assert Path(folder).is_dir()


def test_what_is_another_users_stays(left: Path, monkeypatch: pytest.MonkeyPatch):
    (left / ".in-use").touch()
    os.utime(left, (1, 1))
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with scratch_folder():
        assert left.is_dir()


def test_a_link_is_not_followed(left: Path, tmp_path: Path):
    home = tmp_path / "home"
    left.rename(home)
    (home / ".in-use").touch()
    left.symlink_to(home)
    for path in (left, home):
        os.utime(path, (1, 1), follow_symlinks=False)
    with scratch_folder():
        assert home.is_dir()
    assert (home / ".in-use").exists()

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

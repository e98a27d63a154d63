"""A batch that is killed, or told to stop: the same command goes on and ends in the same table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gtrans_core.errors import PreemptedError

IMAGES = 60


class Command:
    """``gtrans predict`` on a folder of photos, as a real process."""

    def __init__(self, detector: Path, photos: Path, out: Path) -> None:
        self.out = out
        self.arguments = ["predict", str(photos), "--model", str(detector), "--out", str(out)]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SMALL_PARTS, *self.arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_parts(self, process: subprocess.Popen[str], more_than: int) -> None:
        deadline = time.monotonic() + 120
        while self.parts() <= more_than and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def parts(self) -> int:
        return len(list(self.out.with_name(f"{self.out.name}.parts").glob("part-*.parquet")))


# The real command, but with a part after every third row, so that there is something to kill.
SMALL_PARTS = """
from gtrans_core.batch import parts
parts.ROWS_A_PART = 3
from gtrans_core.cli.main import main
main()
"""


@pytest.fixture(scope="module")
def photos(make_photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, IMAGES)
    return folder


@pytest.fixture
def command(tiny_detector: Path, photos: Path, tmp_path: Path) -> Command:
    return Command(tiny_detector, photos, tmp_path / "results.parquet")


def table(path: Path) -> list[dict]:
    """Without the one column that time changes."""
    return pq.read_table(path).drop_columns(["scored_at"]).to_pylist()


@pytest.fixture(scope="module")
def uninterrupted(tiny_detector: Path, photos: Path, tmp_path_factory) -> list[dict]:
    command = Command(tiny_detector, photos, tmp_path_factory.mktemp("whole") / "results.parquet")
    process = command.start()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    return table(command.out)


@pytest.mark.slow
def test_killed_at_random_moments(command: Command, uninterrupted: list[dict]):
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(3):
        process = command.start()
        command.wait_for_parts(process, command.parts() + int(rng.integers(0, 4)))
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills == 3, "the batch was over before it was killed"
    assert not command.out.exists()
    process = command.start()
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert table(command.out) == uninterrupted
    assert "kept from before" in output.splitlines()[-1]
    assert [path.name for path in command.out.parent.iterdir()] == [command.out.name]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop(command: Command, uninterrupted: list[dict], number: signal.Signals):
    process = command.start()
    command.wait_for_parts(process, 2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == PreemptedError.exit_code, errors
    assert errors.startswith("error: stopped after ")
    assert errors.endswith(f"of {IMAGES} images; they are kept, the same command goes on\n")
    process = command.start()
    _, errors = process.communicate(timeout=200)
    assert process.returncode == 0, errors
    assert table(command.out) == uninterrupted

"""A batch that is killed, or told to stop: the same command goes on and ends in the same table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from gtrans_core.errors import PreemptedError

IMAGES = 60

# The real command, but with a part after every third row, so that there is something to kill.
SMALL_PARTS = """
import os, sys
for number, path in enumerate((output, errors), start=1):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
sys.argv = ["gtrans", *arguments]
import torch
torch.set_num_threads(1)
from gtrans_core.batch import parts
parts.ROWS_A_PART = 3
from gtrans.cli.main import main
main()
"""


def predict(detector: Path, photos: Path, out: Path) -> list[str]:
    return ["predict", str(photos), "--model", str(detector), "--out", str(out)]


class Command:
    """``gtrans predict`` on a folder of photos: a real process, forked where torch is imported."""

    def __init__(
        self, start: Callable[..., ForkServerProcess], arguments: list[str], folder: Path
    ) -> None:
        self._start, self._arguments = start, arguments
        self.out = Path(arguments[-1])
        self._output, self._errors = folder / "output", folder / "errors"

    def start(self) -> ForkServerProcess:
        values = {"arguments": self._arguments, "output": self._output, "errors": self._errors}
        return self._start(SMALL_PARTS, **values)

    def wait_for_parts(self, process: ForkServerProcess, more_than: int) -> None:
        deadline = time.monotonic() + 120
        while self.parts() <= more_than and process.is_alive():
            assert time.monotonic() < deadline
            time.sleep(0.002)

    def parts(self) -> int:
        return len(list(self.out.with_name(f"{self.out.name}.parts").glob("part-*.parquet")))

    def ended(self, process: ForkServerProcess) -> tuple[int | None, str, str]:
        """Exit code, output and errors, once it is over."""
        process.join(200)
        return process.exitcode, self._output.read_text(), self._errors.read_text()


@pytest.fixture(scope="module")
def photos(make_photos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, IMAGES)
    return folder


@pytest.fixture
def command(start_process, tiny_detector: Path, photos: Path, tmp_path: Path) -> Command:
    results = tmp_path / "results"
    results.mkdir()
    arguments = predict(tiny_detector, photos, results / "results.parquet")
    return Command(start_process, arguments, tmp_path)


def table(path: Path) -> list[dict]:
    """Without the one column that time changes."""
    return pq.read_table(path).drop_columns(["scored_at"]).to_pylist()


@pytest.fixture(scope="module")
def uninterrupted(tiny_detector: Path, photos: Path, tmp_path_factory) -> list[dict]:
    """By the command as a user calls it, in parts of its own size."""
    out = tmp_path_factory.mktemp("whole") / "results.parquet"
    subprocess.run(
        [sys.executable, "-m", "gtrans.cli.main", *predict(tiny_detector, photos, out)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        timeout=200,
        check=True,
    )
    return table(out)


@pytest.mark.slow
def test_killed_at_random_moments(command: Command, uninterrupted: list[dict]):
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = command.start()
        command.wait_for_parts(process, command.parts() + int(rng.integers(0, 4)))
        time.sleep(rng.uniform(0, 0.05))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the batch was over before it was killed"
    assert not command.out.exists()
    code, output, errors = command.ended(command.start())
    assert code == 0, errors
    assert table(command.out) == uninterrupted
    assert "kept from before" in output.splitlines()[-1]
    assert [path.name for path in command.out.parent.iterdir()] == [command.out.name]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop(command: Command, uninterrupted: list[dict], number: signal.Signals):
    process = command.start()
    command.wait_for_parts(process, 2)
    os.kill(process.pid or 0, number)
    code, _, errors = command.ended(process)
    assert code == PreemptedError.exit_code, errors
    assert errors.startswith("error: stopped after ")
    assert errors.endswith(f"of {IMAGES} images; they are kept, the same command goes on\n")
    code, _, errors = command.ended(command.start())
    assert code == 0, errors
    assert table(command.out) == uninterrupted

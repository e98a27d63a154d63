"""What a run's steps are forks of, apart from any pipeline."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import gtrans.pipelines
from gtrans.pipelines.embedded import step_client
from gtrans.pipelines.embedded.local_worker import _needs
from gtrans.pipelines.embedded.step_server import StepServer

COMPILED = Path(gtrans.pipelines.__file__).parent / "compiled" / "local"

# Where no thread runs, and CUDA was not asked for, a fork is as good as a new process.
LOAD_ALL = """
import sys
from pathlib import Path
import torch

def asked():
    raise SystemExit("CUDA was asked for")

torch._C._cuda_getDeviceCount = asked
from gtrans.pipelines.embedded.local_worker import _needs
for loads in _needs(Path(sys.argv[1]).read_text()):
    for load in loads:
        load()
threads = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
print(*sorted(threads))
"""


def test_what_steps_import_starts_no_thread_and_leaves_cuda_alone():
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL, str(COMPILED / "categories.yaml")],
        # OpenBLAS has threads that know of forks: they end before one, and start again after it.
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    # So has Arrow's allocator one.
    assert done.stdout.split() in (["python"], ["jemalloc_bg_thd", "python"])


@pytest.mark.parametrize(
    ("pipeline", "steps", "working"),
    [("category.yaml", 5, 3), ("categories.yaml", 6, 3), ("drift.yaml", 1, 0)],
)
def test_only_what_a_pipelines_steps_import_is_loaded(pipeline: str, steps: int, working: int):
    needed, worked_with = _needs((COMPILED / pipeline).read_text())
    assert len(needed) == steps + 1  # and MLflow
    assert len(worked_with) == working
    assert _needs("a pipeline of other steps") == ([], [])


def test_no_step_is_forked_beside_a_thread(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 40)))
    Path(tmp_path / ("long" * 40)).mkdir()  # longer than a socket's name may be
    server = StepServer()
    over = threading.Event()
    threading.Thread(target=over.wait).start()
    with step_client.connect(Path(server.command[-1])) as client:
        socket.send_fds(client, [b"\n"], [0, 1, 2])
        client.sendall(b"{}\n")
        with pytest.raises(RuntimeError, match="steps cannot be forked beside"):
            server._fork_step()
    over.set()


def test_a_client_without_a_server_says_so(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-I", "-S", step_client.__file__, str(tmp_path / "steps"), "-m", "x"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr

"""Servers on free ports of this machine, and a small real detector."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gtrans_core
from gtrans_core.config import GTransConfig
from gtrans_core.detector import Detector, DetectorInfo
from gtrans_core.network.build import build_trans
from gtrans_core.network.scene import fit_scene
from gtrans_core.network.scorer import Scorer
from gtrans_core.weights import load_guide

SOURCES = Path(gtrans_core.__file__).parents[1]
CONFIG = GTransConfig.model_validate(
    {
        "image": {"size": 64},
        "agn": {"backbone": "test_efficientnet", "weights": "random:0"},
        "trans": {"token_width": 16},
    }
)


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    guide = load_guide(CONFIG.agn, folder)
    torch.manual_seed(0)
    trans = build_trans(guide.agn.spec, CONFIG)
    info = DetectorInfo(
        category="bottle",
        config=CONFIG,
        threshold=0.5,
        held_out_scores=(0.1, 0.2),
        data_digest="0" * 64,
        training_key="key",
        weights_sha256=guide.weights_sha256,
    )
    scene = fit_scene([torch.rand(6, *shape) for shape in guide.agn.spec.map_shapes(64)], rank=2)
    Detector(Scorer(guide.agn, trans, scene, CONFIG.scoring), info).save(folder)
    return folder


@pytest.fixture(scope="session")
def png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Processes:
    """Starts Python processes, and servers of their own process group."""

    def python(self, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
        """``python ARGUMENTS`` with this project's code and the virtual environment's commands."""
        environment = os.environ | {
            "PYTHONPATH": str(SOURCES),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        }
        return subprocess.Popen([sys.executable, *arguments], env=environment, **options)

    def free_port(self) -> int:
        """A port that nobody listens on."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    @contextmanager
    def mlflow_server(self, folder: Path, port: int) -> Iterator[str]:
        """An MLflow server that keeps its data in ``folder``; gives its address."""
        command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        with self.server(*command, folder=folder, health=f"http://127.0.0.1:{port}/health"):
            yield f"http://127.0.0.1:{port}"

    @contextmanager
    def server(self, *arguments: str, folder: Path, health: str) -> Iterator[None]:
        """A server that answers at ``health``; it and its children are ended afterwards."""
        with (folder / "server.log").open("ab") as log:
            process = self.python(
                *arguments, stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
        try:
            deadline = time.monotonic() + 120
            while not answers(health):
                assert process.poll() is None, (folder / "server.log").read_text()
                assert time.monotonic() < deadline, (folder / "server.log").read_text()
                time.sleep(0.2)
            yield
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def processes() -> Processes:
    return Processes()


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    """MLflow likes to leave files where it runs; ours must not."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    assert list(here.iterdir()) == []


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False

"""Servers on free ports of this machine, and a small real detector."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gtrans_core.config import GTransConfig
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import DetectorInfo
from gtrans_core.features.weights import load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.scene import fit_scene
from gtrans_core.network.scorer import Scorer
from infra.stack.ports import free_port
from infra.stack.postgresql import PostgreSQL, programs
from infra.stack.service import StackError, start, stop
from tests.support.processes import Processes

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


@pytest.fixture(scope="session")
def postgresql_installed() -> None:
    """Where it is missing it is installed only if ``GTRANS_TEST_INSTALL=1`` (CI) says so; else what
    needs it is skipped."""
    try:
        programs()
    except StackError:
        apt_install("postgresql")


@pytest.fixture(scope="session")
def postgresql(postgresql_installed: None) -> Iterator[PostgreSQL]:
    """PostgreSQL of this machine on a free port, its data in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="gtrans-postgresql-") as name:
        Path(name).chmod(0o711)  # where root starts it, it runs as another user
        database = PostgreSQL(Path(name) / "postgresql", free_port(), secrets.token_hex())
        database.prepare()
        service = database.service()
        start(service)
        try:
            yield database
        finally:
            stop(service.pid_file, service.stop_signal)


@pytest.fixture(scope="session")
def install() -> Callable[[str], None]:
    """``install(package)``: one of Debian's; skips the test where that is not allowed."""
    return apt_install


def apt_install(package: str) -> None:
    if os.environ.get("GTRANS_TEST_INSTALL") != "1" or os.getuid() != 0:
        pytest.skip(f"{package} is missing; as root, GTRANS_TEST_INSTALL=1 installs it")
    another_installs = ["-o", "DPkg::Lock::Timeout=300"]
    command = ["apt-get", *another_installs, "install", "--yes", "--no-install-recommends", package]
    subprocess.run(command, check=True, capture_output=True)

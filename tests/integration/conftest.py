"""Servers on free ports of this machine, and a small real detector."""

from __future__ import annotations

import importlib.util
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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
from tests.support.processes import Processes

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


@dataclass(frozen=True)
class Database:
    """A running PostgreSQL: its SQLAlchemy address, and a folder that holds its driver."""

    uri: str
    packages: str


@pytest.fixture(scope="session")
def postgresql(processes: Processes) -> Iterator[Database]:
    """PostgreSQL of this machine on a free port, its data in a temporary folder.

    Where it is missing it is installed only if ``GTRANS_TEST_INSTALL=1`` (CI) says so; else what
    needs it is skipped.
    """
    programs = postgresql_programs()
    with tempfile.TemporaryDirectory(prefix="gtrans-postgresql-") as name:
        folder, packages = Path(name), Path(name) / "packages"
        packages.mkdir()
        link_driver(packages)
        data, port = folder / "data", processes.free_port()
        data.mkdir()
        folder.chmod(0o755)
        as_user: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(data, "postgres")
            as_user |= {"user": "postgres", "group": "postgres", "extra_groups": []}
        initdb = [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust"]
        subprocess.run(initdb, check=True, capture_output=True, **as_user)
        options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={data}"]
        command = [programs / "postgres", "-D", data, "-p", str(port), *options]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log, **as_user)
        try:
            ready = [programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-t", "1"]
            deadline = time.monotonic() + 60
            while subprocess.run(ready, check=False, capture_output=True).returncode:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.2)
            uri = f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
            yield Database(uri, str(packages))
        finally:
            server.send_signal(signal.SIGINT)  # its fast shutdown
            server.wait(60)


def postgresql_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        apt_install("postgresql")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent


def link_driver(packages: Path) -> None:
    """psycopg2 of this environment, or Debian's where it is of the same Python."""
    if importlib.util.find_spec("psycopg2"):
        return
    debian = Path("/usr/lib/python3/dist-packages/psycopg2")
    if not debian.is_dir():
        apt_install("python3-psycopg2")
    if not list(debian.glob(f"_psycopg.cpython-{sys.version_info[0]}{sys.version_info[1]}-*.so")):
        pytest.skip("psycopg2 is not installed, and Debian's is of another Python")
    (packages / "psycopg2").symlink_to(debian)


@pytest.fixture(scope="session")
def install() -> Callable[[str], None]:
    """``install(package)``: one of Debian's; skips the test where that is not allowed."""
    return apt_install


def apt_install(package: str) -> None:
    if os.environ.get("GTRANS_TEST_INSTALL") != "1" or os.getuid() != 0:
        pytest.skip(f"{package} is missing; as root, GTRANS_TEST_INSTALL=1 installs it")
    command = ["apt-get", "install", "--yes", "--no-install-recommends", package]
    subprocess.run(command, check=True, capture_output=True)

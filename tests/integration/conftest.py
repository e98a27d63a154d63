"""Servers on free ports of this machine, and a small real detector."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.stack.ports import free_port
from infra.stack.postgresql import PostgreSQL, programs
from infra.stack.service import StackError, start, stop
from tests.support import images
from tests.support.detectors import make_detector
from tests.support.tiny import tiny_config


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    facts = {"category": "bottle", "threshold": 0.5, "training_key": "key"}
    make_detector(tiny_config(), **facts).save(folder)
    return folder


@pytest.fixture(scope="session")
def png() -> bytes:
    return images.png(size=(90, 80))


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

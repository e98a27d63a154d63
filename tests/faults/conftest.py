"""A tiny plant, and an MLflow server behind a proxy that can be told to misbehave."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gtrans_core.tracking.client import TrackingAddress, connect
from gtrans_core.tracking.runs import open_run
from tests.support.disk import SIZE, Disk
from tests.support.fault_proxy import FaultProxy
from tests.support.packages import bring_little_code
from tests.support.runs import TinyRun, runs_at, write_part
from tests.support.shelf import Shelf


@pytest.fixture(autouse=True)
def _nothing_injected(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _sigterm_ends_the_tests() -> Iterator[None]:
    """Step train, called in this process, listens to it instead."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A folder with a tiny category in ``data/part``."""
    write_part(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A run with a registered model, which tests add others to and take nothing from."""
    root = tmp_path_factory.mktemp("finished")
    write_part(root)
    run = TinyRun(root, "first")
    run.go()
    return run


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> TrackingAddress:
    """Setting up MLflow's tables takes seconds: tests share one database."""
    return TrackingAddress(f"sqlite:///{tmp_path_factory.mktemp('embedded')}/mlflow.db", "tests")


@pytest.fixture(scope="session")
def packaged_detector(tmp_path_factory: pytest.TempPathFactory, tiny_config) -> Path:
    """A tiny detector's folder, packaged for ONNX Runtime, as detectors are by default."""
    from gtrans_core.detector.detector import Detector
    from gtrans_core.detector.engine import OnnxEngine
    from gtrans_core.detector.onnx import export_onnx
    from tests.support.detectors import make_scorer
    from tests.support.records import detector_info

    config = tiny_config()
    scorer = make_scorer(config)
    graph = OnnxEngine(export_onnx(scorer, config.image.view_shape))
    folder = tmp_path_factory.mktemp("packaged") / "detector"
    Detector(scorer, detector_info(config), graph).save(folder)
    return folder


@pytest.fixture
def shelf(embedded: TrackingAddress, tmp_path: Path) -> Shelf:
    """A new category in an embedded registry."""
    return Shelf(open_run(embedded, uuid4().hex, "bottle"), tmp_path)


@pytest.fixture
def mlflow(mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The way to a real MLflow server; its client gives up a call after the second try.

    Models bring little code: sending 250 files takes five seconds each time.
    """
    bring_little_code(monkeypatch)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    with FaultProxy(mlflow_server) as proxy:
        yield proxy
    client = connect(mlflow_server)
    for registered in client.search_registered_models():
        client.delete_registered_model(registered.name)
    for run in runs_at(mlflow_server):
        client.delete_run(run.info.run_id)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount here ({error})")
    if done.returncode:
        pytest.skip(f"no right to mount a file system here ({done.stderr.strip()})")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.runs import RunLogger, open_run
from tests.support.shelf import Shelf


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Setting up MLflow's tables takes seconds: all tests share one database."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture(autouse=True)
def _no_injected_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture
def settings(store: Path) -> TrackingAddress:
    return TrackingAddress(f"sqlite:///{store}/mlflow.db", "tests")


@pytest.fixture
def run(settings: TrackingAddress) -> RunLogger:
    """A new run."""
    return open_run(settings, uuid4().hex, "bottle")


@pytest.fixture
def shelf(run: RunLogger, tmp_path: Path) -> Shelf:
    return Shelf(run, tmp_path)

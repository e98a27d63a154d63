"""A tiny real detector behind the service, and images to send it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from gtrans.serving.app import create_app
from gtrans.serving.models import Models, ServedModel
from gtrans.serving.settings import ServeSettings
from gtrans_core.config import GTransConfig
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import DetectorInfo
from gtrans_core.features.weights import load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.scorer import Scorer

CONFIG = GTransConfig.model_validate(
    {
        "image": {"size": 64},
        "agn": {"backbone": "test_efficientnet", "weights": "random:0"},
        "trans": {"token_width": 16},
        "scoring": {"scene_share": 0},
    }
)


def make_detector(category: str, threshold: float, folder: Path, seed: int = 0) -> Detector:
    agn = CONFIG.agn.model_copy(update={"weights": f"random:{seed}"})
    config = CONFIG.model_copy(update={"agn": agn})
    guide = load_guide(agn, folder)
    torch.manual_seed(seed)
    info = DetectorInfo(
        category=category,
        config=config,
        threshold=threshold,
        held_out_scores=(0.1, 0.2),
        data_digest="0" * 64,
        training_key="key",
        weights_sha256=guide.weights_sha256,
    )
    trans = build_trans(guide.agn.spec, config)
    return Detector(Scorer(guide.agn, trans, None, config.scoring), info)


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """Flags everything."""
    return make_detector("bottle", 0.01, tmp_path_factory.mktemp("bottle"))


@pytest.fixture(scope="session")
def another(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """Of the same category, with other scores."""
    return make_detector("bottle", 0.02, tmp_path_factory.mktemp("another"), seed=1)


class Shelf:
    """A source whose champion a test moves by hand."""

    def __init__(self, category: str, detector: Detector) -> None:
        self.category, self.detector, self.version = category, detector, 1
        self.fault: Exception | None = None

    def changed(self, served: ServedModel) -> bool:
        if self.fault:
            raise self.fault
        return served.version != self.version

    def load(self) -> ServedModel:
        return ServedModel(self.category, self.version, f"{self.version:064}", self.detector)


@pytest.fixture
def bottle(detector: Detector) -> Shelf:
    return Shelf("bottle", detector)


@pytest.fixture
def flange(detector: Detector) -> Shelf:
    return Shelf("flange", detector)


@pytest.fixture
def models(bottle: Shelf, flange: Shelf) -> Models:
    return Models([bottle, flange])


@pytest.fixture
def serving(models: Models) -> Iterator[Callable[..., TestClient]]:
    """``serving(max_images=2, on_score=f)``: a client of a service with other settings."""
    clients: list[TestClient] = []

    def start(on_score=None, **settings) -> TestClient:
        app = create_app(models, ServeSettings(**settings), on_score)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


def png(seed: int = 0, size: tuple[int, int] = (90, 80)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def image() -> bytes:
    return png()


@pytest.fixture(scope="session")
def make_png() -> Callable[..., bytes]:
    """``make_png(seed, size)``: a PNG of noise."""
    return png

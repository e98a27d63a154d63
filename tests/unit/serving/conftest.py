"""A tiny real detector behind the service, and images to send it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from fastapi.testclient import TestClient

from gtrans.serving.app import create_app
from gtrans.serving.feedback import FeedbackDesk
from gtrans.serving.gate import Access
from gtrans.serving.models import Models, ServedModel
from gtrans.serving.settings import ServeSettings
from gtrans_core.detector.detector import Detector
from infra.stack.ports import free_port
from tests.support.detectors import make_detector
from tests.support.images import png
from tests.support.live import Live
from tests.support.tiny import tiny_config


@pytest.fixture(scope="session")
def detector() -> Detector:
    """Flags everything."""
    config = tiny_config("scoring.scene_share=0")
    return make_detector(config, category="bottle", threshold=0.01)


@pytest.fixture(scope="session")
def another() -> Detector:
    """Of the same category, with other scores."""
    config = tiny_config("seed=1", "scoring.scene_share=0", "agn.weights=random:1")
    return make_detector(config, category="bottle", threshold=0.02)


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

    def start(
        on_score=None,
        access: Access | None = None,
        feedback: FeedbackDesk | None = None,
        **settings,
    ) -> TestClient:
        app = create_app(models, ServeSettings(**settings), on_score, access, feedback)
        client = TestClient(app, raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def make_png() -> Callable[..., bytes]:
    """``make_png(seed)``: a PNG of noise, 90 x 80."""
    return partial(png, size=(90, 80))


@pytest.fixture(scope="session")
def image(make_png: Callable[..., bytes]) -> bytes:
    return make_png()


@pytest.fixture
def live(models: Models) -> Iterator[Callable[..., Live]]:
    """``live(head_seconds=1)``: a service that listens, with other settings."""
    running: list[Live] = []

    def start(on_score=None, access: Access | None = None, **values) -> Live:
        settings = ServeSettings(**{"port": free_port(), "drain_seconds": 1, **values})
        running.append(Live(create_app(models, settings, on_score, access), settings))
        return running[-1]

    yield start
    for one in running:
        one.stop()

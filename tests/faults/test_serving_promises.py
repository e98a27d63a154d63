"""What ``gtrans serve`` promises for long, crowded days; ``benchmarks.serving`` runs it in full."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving.clients import Crowd
from benchmarks.serving.service import Service, posted
from gtrans.serving.app import create_app
from gtrans.serving.models import Models, ServedModel
from gtrans.serving.settings import ServeSettings
from gtrans_core.detector.detector import Verdict
from infra.stack.ports import free_port
from tests.support.images import png
from tests.support.live import Live

pytestmark = pytest.mark.slow


class Slow:
    """Stands in for a detector, and for its source: it takes 40 ms, and no processor."""

    category, graph = "nut", "side by side"

    def __init__(self, info) -> None:
        self.info = info

    def changed(self, served: ServedModel) -> bool:
        return False

    def load(self) -> ServedModel:
        return ServedModel("nut", 1, "d" * 64, self)

    def view(self, data, name):
        return np.zeros((3, 8, 8), np.uint8)

    def judge_view(self, view):
        time.sleep(0.04)
        return Verdict(0.5, False)


@pytest.fixture
def crowded(tiny_detector: Path) -> Iterator[Live]:
    """A service with room for eight images, two at a time."""
    from gtrans_core.detector.files import read_info

    settings = ServeSettings(port=free_port(), queue_size=8, round_size=2, drain_seconds=1)
    service = Live(create_app(Models([Slow(read_info(tiny_detector))]), settings), settings)
    yield service
    service.stop()


def answers(port: int, clients: int, seconds: float, *, patient: bool = False) -> Counter[str]:
    crowd = Crowd(port, posted(png()), clients, patient=patient)
    crowd.answers(0.5)
    found = crowd.answers(seconds)
    crowd.leave()
    return found


@pytest.mark.parametrize("patient", [True, False])
def test_past_saturation_nine_tenths_of_the_peak_are_scored(crowded: Live, patient: bool):
    """The best of three: the clients share the processor with whatever else runs."""
    shares = []
    for _ in range(3):
        peak = answers(crowded.port, 6, 2)
        crowd = answers(crowded.port, 48, 2, patient=patient)
        assert set(peak) == {"200"}
        assert set(crowd) == {"200", "503"}
        shares.append(crowd["200"] / peak["200"])
        if shares[-1] >= 0.9:
            return
    pytest.fail(f"shares of the peak: {shares}")


def test_clients_that_return_at_once_are_refused_twenty_times_a_second_at_most(crowded: Live):
    assert 0 < answers(crowded.port, 48, 2)["503"] <= 2 * 20 + 1


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, packaged_detector: Path) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("serve")
    service = Service(folder, "--model", str(packaged_detector), "--store", str(folder))
    yield service
    service.stop()


def test_it_is_ready_within_three_seconds(service: Service):
    """Of processor time, which neighbours cost less than time on the wall."""
    assert service.ready_processor_seconds <= 3
    assert "libtorch" not in Path(f"/proc/{service.process.pid}/maps").read_text()


def test_of_its_processor_time_nine_tenths_are_left_for_scoring(service: Service):
    """Images by second of its own processor time; the best of three, as neighbours cost some."""
    request, ratios = posted(png(200, (400, 400))), []

    def by_second(clients: int) -> float:
        crowd = Crowd(service.port, request, clients)
        crowd.answers(0.7)
        before = service.processor_seconds()
        scored = crowd.answers(1.5)["200"]
        used = service.processor_seconds() - before
        crowd.leave()
        return scored / used

    while max(ratios, default=0) < 0.9 and len(ratios) < 3:
        few = by_second(4)
        ratios.append(by_second(128) / few)
    assert max(ratios) >= 0.9, ratios


def test_memory_does_not_grow_with_the_images(service: Service):
    requests = itertools.cycle([posted(png(side, (side, side))) for side in (16, 100, 300)])

    def resident_after(images: int) -> int:
        for request in itertools.islice(requests, images):
            assert service.ask(request).startswith(b"HTTP/1.1 200 ")
        return service.resident()

    before = resident_after(200)
    assert resident_after(600) <= 1.02 * before

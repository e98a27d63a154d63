"""Order, room and end of the scoring thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from gtrans_core.errors import DataError
from gtrans_core.serving.models import ServedModel
from gtrans_core.serving.worker import EncodedImage, QueueFullError, Worker


class Gate:
    """Stands in for a detector: scores by length, and only while open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.order: list[str] = []

    def view(self, data, name):
        self.entered.set()
        assert self.open.wait(10)
        self.order.append(name)
        if data == b"bad":
            raise DataError(f"{name}: bad")
        return data

    def predict_view(self, view):
        return len(view)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def worker() -> Iterator[Worker]:
    worker = Worker(6, lambda model, scored: None)
    worker.start()
    yield worker
    if worker.alive:
        worker.stop()


def images(prefix: str, count: int, data: bytes = b"x") -> list[EncodedImage]:
    return [EncodedImage(f"{prefix}{i}", data) for i in range(count)]


def test_requests_take_turns_image_by_image(worker, gate):
    model = ServedModel("bottle", 1, "d", gate)
    first = worker.submit(model, images("a", 3))
    assert gate.entered.wait(10)
    second = worker.submit(model, images("b", 1))
    third = worker.submit(model, images("c", 2))
    gate.open.set()
    assert [one.name for one in first.result(10)] == ["a0", "a1", "a2"]
    second.result(10)
    third.result(10)
    assert gate.order == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_a_request_without_room_is_refused_whole_and_room_comes_back(worker, gate):
    model = ServedModel("bottle", 1, "d", gate)
    held = worker.submit(model, images("a", 4))
    with pytest.raises(QueueFullError):
        worker.submit(model, images("b", 3))
    more = worker.submit(model, images("c", 2))
    assert worker.waiting == 6
    gate.open.set()
    held.result(10)
    more.result(10)
    assert len(worker.submit(model, images("d", 6)).result(10)) == 6


def test_a_bad_image_ends_its_own_request_only(worker, gate):
    model = ServedModel("bottle", 1, "d", gate)
    gate.open.set()
    bad = worker.submit(model, [*images("a", 1, b"bad"), *images("b", 5)])
    with pytest.raises(DataError, match="a0: bad"):
        bad.result(10)
    assert len(worker.submit(model, images("c", 6)).result(10)) == 6
    assert "b0" not in gate.order


def test_a_cancelled_request_gives_its_room_back(worker, gate):
    model = ServedModel("bottle", 1, "d", gate)
    first = worker.submit(model, images("a", 1))
    gone = worker.submit(model, images("b", 5))
    assert gone.cancel()
    gate.open.set()
    first.result(10)
    assert len(worker.submit(model, images("c", 5)).result(10)) == 5
    assert not [name for name in gate.order if name.startswith("b")]


def test_stop_scores_what_waits_and_takes_nothing_more(worker, gate):
    model = ServedModel("bottle", 1, "d", gate)
    waiting = worker.submit(model, images("a", 3))
    gate.open.set()
    worker.stop()
    assert len(waiting.result(0)) == 3
    with pytest.raises(QueueFullError):
        worker.submit(model, images("b", 1))
    assert not worker.alive

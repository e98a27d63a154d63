"""Order, company, room and end of the scoring."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from gtrans.serving.drawings import Asked
from gtrans.serving.models import ServedModel
from gtrans.serving.worker import EncodedImage, QueueFullError, Worker
from gtrans_core.detector.detector import Detector, Prediction, Verdict
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.errors import DataError, ModelError


class HeldDetector:
    """Stands in for a detector: scores by length, and only once it is let go."""

    graph = "side by side"

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.entered = threading.Event()
        self.order: list[str] = []

    def view(self, data, name):
        self.entered.set()
        assert self.let_go.wait(10)
        self.order.append(name)
        if data == b"bad":
            raise DataError(f"{name}: bad")
        return data

    def judge_view(self, view):
        return len(view)


@pytest.fixture
def held() -> HeldDetector:
    return HeldDetector()


class Together:
    """Stands in for a detector: scores only when so many are scored at the same moment."""

    graph = "side by side"
    map_range = (0.0, 1.0)

    def __init__(self, parties: int) -> None:
        self.barrier = threading.Barrier(parties, timeout=10)

    def view(self, data, name):
        return np.zeros((3, 8, 8), np.uint8)

    def judge_view(self, view):
        self.barrier.wait()
        return Verdict(0.5, True)

    def predict_view(self, view):
        self.barrier.wait()
        return Prediction(0.5, True, np.zeros((8, 8), np.float32))


class Started:
    """Workers of a test, and how many images were scored together when each began."""

    def __init__(self) -> None:
        self.together: list[int] = []
        self.workers: list[Worker] = []

    def __call__(self, threads: int, queue_size: int = 64) -> Worker:
        worker = Worker(queue_size, threads, lambda model, scored: None, self.together.append)
        worker.start()
        self.workers.append(worker)
        return worker


@pytest.fixture
def started() -> Iterator[Started]:
    started = Started()
    yield started
    for worker in started.workers:
        if worker.alive:
            worker.stop()


@pytest.fixture
def worker(started: Started) -> Worker:
    """One image at a time."""
    return started(1, queue_size=6)


def images(prefix: str, count: int, data: bytes = b"x") -> list[EncodedImage]:
    return [EncodedImage(f"{prefix}{i}", data) for i in range(count)]


def test_requests_take_turns_image_by_image(worker, held):
    model = ServedModel("bottle", 1, "d", held)
    first = worker.submit(model, images("a", 3))
    assert held.entered.wait(10)
    second = worker.submit(model, images("b", 1))
    third = worker.submit(model, images("c", 2))
    held.let_go.set()
    assert [one.name for one in first.result(10)] == ["a0", "a1", "a2"]
    second.result(10)
    third.result(10)
    assert held.order == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_a_request_without_room_is_refused_whole_and_room_comes_back(worker, held):
    model = ServedModel("bottle", 1, "d", held)
    waiting = worker.submit(model, images("a", 4))
    with pytest.raises(QueueFullError):
        worker.submit(model, images("b", 3))
    more = worker.submit(model, images("c", 2))
    assert worker.waiting == 6
    held.let_go.set()
    waiting.result(10)
    more.result(10)
    assert len(worker.submit(model, images("d", 6)).result(10)) == 6


def test_a_bad_image_ends_its_own_request_only(worker, held):
    model = ServedModel("bottle", 1, "d", held)
    held.let_go.set()
    bad = worker.submit(model, [*images("a", 1, b"bad"), *images("b", 5)])
    with pytest.raises(DataError, match="a0: bad"):
        bad.result(10)
    assert len(worker.submit(model, images("c", 6)).result(10)) == 6
    assert "b0" not in held.order


def test_a_cancelled_request_gives_its_room_back(worker, held):
    model = ServedModel("bottle", 1, "d", held)
    first = worker.submit(model, images("a", 1))
    assert held.entered.wait(10)
    gone = worker.submit(model, images("b", 5))
    assert gone.cancel()
    # At once: the worker is still at its first image.
    came_after = worker.submit(model, images("c", 5))
    held.let_go.set()
    assert len(first.result(10)) == 1
    assert len(came_after.result(10)) == 5
    assert not [name for name in held.order if name.startswith("b")]


def test_stop_scores_what_waits_and_takes_nothing_more(worker, held):
    model = ServedModel("bottle", 1, "d", held)
    waiting = worker.submit(model, images("a", 3))
    held.let_go.set()
    worker.stop()
    assert len(waiting.result(0)) == 3
    with pytest.raises(QueueFullError):
        worker.submit(model, images("b", 1))
    assert not worker.alive


def test_what_waits_is_scored_side_by_side_whoever_sent_it(started):
    import gtrans_core.drawing.heat_maps  # noqa: F401 - or the first drawing waits for matplotlib

    together = Together(3)
    models = [ServedModel(category, 1, "d", together) for category in ("bottle", "flange")]
    held = HeldDetector()
    worker = started(3)
    first = worker.submit(ServedModel("nut", 1, "d", held), images("first", 1))
    assert held.entered.wait(10)
    waiting = [
        worker.submit(models[0], images("a", 4), Asked(heat_map=True)),
        worker.submit(models[1], images("b", 1)),
        worker.submit(models[1], images("c", 1)),
    ]
    held.let_go.set()
    assert len(first.result(10)) == 1
    # With less than three at the same moment nothing would come back.
    names = [[one.name for one in future.result(10)] for future in waiting]
    assert names == [["a0", "a1", "a2", "a3"], ["b0"], ["c0"]]
    assert max(started.together) == 3


def test_one_image_waits_for_no_other(started, held):
    worker, model = started(8), ServedModel("bottle", 1, "d", held)
    held.let_go.set()
    began = time.perf_counter()
    for _ in range(100):
        assert len(worker.submit(model, images("a", 1)).result(10)) == 1
    assert time.perf_counter() - began < 2  # 20 ms each would show a wait for company
    assert started.together == [1] * 100


def test_a_slow_image_keeps_no_other_waiting(started):
    slow, quick = HeldDetector(), Together(1)
    slow.view = lambda data, name: data
    slow.judge_view = lambda view: slow.let_go.wait(10)
    worker = started(2)
    held = worker.submit(ServedModel("nut", 1, "d", slow), images("slow", 1))
    others = worker.submit(ServedModel("bolt", 1, "d", quick), images("a", 20))
    assert len(others.result(10)) == 20
    assert not held.done()
    slow.let_go.set()
    assert len(held.result(10)) == 1


def test_a_bad_image_fails_alone_among_those_beside_it(started):
    held = HeldDetector()
    worker = started(3)
    model = ServedModel("bottle", 1, "d", held)
    worker.submit(model, images("first", 1))
    assert held.entered.wait(10)
    good, bad, other = (
        worker.submit(model, images("a", 1)),
        worker.submit(model, [*images("b", 1, b"bad"), *images("c", 4, b"bad")]),
        worker.submit(model, images("d", 2)),
    )
    held.let_go.set()
    with pytest.raises(DataError, match="b0: bad"):
        bad.result(10)
    assert [len(future.result(10)) for future in (good, other)] == [1, 2]
    assert worker.waiting == 0


@pytest.mark.parametrize("engine", ["onnxruntime", "torch"])
def test_scores_under_load_are_bit_equal_to_those_alone(started, detector, make_png, engine):
    graph = OnnxEngine(export_onnx(detector.scorer, (64, 64))) if engine == "onnxruntime" else None
    model = ServedModel("bottle", 1, "d", Detector(detector.scorer, detector.info, graph))
    encoded = [make_png(seed) for seed in range(12)]
    alone = [model.detector.predict_bytes([data])[0] for data in encoded]
    worker = started(4)
    futures = [
        worker.submit(model, [EncodedImage("x", data) for data in (*encoded[i:], *encoded[:i])])
        for i in range(5)
    ]
    for i, future in enumerate(futures):
        for scored, expected in zip(future.result(60), (*alone[i:], *alone[:i]), strict=True):
            assert scored.verdict == Verdict(expected.score, expected.is_anomalous)
    assert max(started.together) == 4
    assert len({prediction.score for prediction in alone}) == 12


def test_a_thread_that_dies_leaves_nobody_waiting(started, held):
    """Not even those whose images were under way or waiting."""
    worker = started(2)
    model = ServedModel("nut", 1, "d", held)
    orders = [worker.submit(model, images("a", 3)) for _ in range(3)]
    assert held.entered.wait(10)
    worker._take = None  # what ends a thread when it has scored its image
    held.let_go.set()
    for order in orders:
        assert isinstance(order.exception(10), ModelError)
    assert "a scoring thread has ended: TypeError" in worker.failure
    assert not worker.alive
    with pytest.raises(QueueFullError):
        worker.submit(model, images("a", 1))

"""The one thread that scores, and the bounded queue before it.

An image's score must depend on that image alone, bit for bit, so each one goes through the network
by itself; what comes together is not stacked into one batch. The queue is what remains of batching:
it takes what waits in rounds, one image of each waiting request, so that a request with one image
is not kept waiting by one with many; and it refuses what it has no place for. One thread also means
that one image is decoded at a time, whatever is sent.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from gtrans_core.data.images import encode_png
from gtrans_core.detector import Prediction
from gtrans_core.evaluation.heat_maps import overlay
from gtrans_core.serving.models import ServedModel


class QueueFullError(Exception):
    """There is no place for so many images now; come back a little later."""


@dataclass(frozen=True)
class EncodedImage:
    """An image file as it came.

    Attributes:
        name: what to call it in an error.
        data: its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True)
class Scored:
    """One image's verdict.

    Attributes:
        name: of the image.
        prediction: score, verdict and raw heat map.
        heat_map_png: the image under its heat map, in the size of the network's input; None where
            nobody asked for it.
        seconds: from the encoded image to this.
    """

    name: str
    prediction: Prediction
    heat_map_png: bytes | None
    seconds: float


@dataclass
class _Order:
    """One request's images."""

    model: ServedModel
    draw: bool
    pending: deque[EncodedImage]
    scored: list[Scored] = field(default_factory=list)
    result: Future[list[Scored]] = field(default_factory=Future)


class Worker:
    """Scores images in fair order.

    Args:
        queue_size: images that may wait or be scored at a time.
        on_scored: told of each scored image, on the worker's thread; must not raise.
    """

    def __init__(self, queue_size: int, on_scored: Callable[[ServedModel, Scored], None]) -> None:
        self._queue_size, self._on_scored = queue_size, on_scored
        self._orders: deque[_Order] = deque()
        self._waiting = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)

    @property
    def waiting(self) -> int:
        """Images that wait or are scored now."""
        return self._waiting

    @property
    def alive(self) -> bool:
        """Whether anything submitted now will be scored."""
        return self._thread.is_alive() and not self._stopping

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Score what waits, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def submit(
        self, model: ServedModel, images: Sequence[EncodedImage], *, draw: bool = False
    ) -> Future[list[Scored]]:
        """Queue a request's images; the future gives them in order, all by the same detector.

        The future raises DataError, naming the image, where one cannot be decoded, and ModelError
        where a score is not a number; the rest of the request is dropped then. A future that is
        cancelled frees its place.

        Raises:
            QueueFullError: when there is no place for all of them, or the worker is stopping.
        """
        order = _Order(model, draw, deque(images))
        with self._changed:
            if self._stopping or self._waiting + len(images) > self._queue_size:
                raise QueueFullError
            self._waiting += len(images)
            self._orders.append(order)
            self._changed.notify()
        return order.result

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._orders or self._stopping)
                if not self._orders:
                    return
                order = self._orders.popleft()
            finished = self._advance(order)
            with self._changed:
                self._waiting -= 1
                if finished:
                    self._waiting -= len(order.pending)
                else:
                    self._orders.append(order)

    def _advance(self, order: _Order) -> bool:
        """Score the next image of an order; True when nothing of it is left to do."""
        image = order.pending.popleft()
        if order.result.cancelled():
            return True
        try:
            order.scored.append(_score(order.model, image, order.draw))
            self._on_scored(order.model, order.scored[-1])
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
            _settle(order.result, error)
            return True
        if not order.pending:
            _settle(order.result, order.scored)
        return not order.pending


def _score(model: ServedModel, image: EncodedImage, draw: bool) -> Scored:
    began = time.perf_counter()
    detector = model.detector
    view = detector.view(image.data, image.name)
    prediction = detector.predict_view(view)
    drawing = None
    if draw:
        blend = overlay(np.moveaxis(view, 0, -1), prediction.heat_map, detector.map_range)
        drawing = encode_png(blend)
    return Scored(image.name, prediction, drawing, time.perf_counter() - began)


def _settle(result: Future[list[Scored]], outcome: list[Scored] | Exception) -> None:
    """Hand the outcome over, unless whoever asked has gone."""
    if not result.set_running_or_notify_cancel():
        return
    if isinstance(outcome, Exception):
        result.set_exception(outcome)
    else:
        result.set_result(outcome)

"""What scores: a bounded queue, and rounds of what waits in it (micro-batches).

A round takes one image of each waiting request in turn, as many as there is room for, and scores
them side by side: a thread each, each image through the network by itself. They are not stacked
into one tensor, since then a score's last bits would depend on the other images. Nothing waits for
a round to fill: what waits when one round ends makes the next one, even a single image.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from gtrans.serving.models import ServedModel
from gtrans_core.data.images import encode_png
from gtrans_core.detector.detector import Prediction
from gtrans_core.errors import ModelError

_LOG = logging.getLogger(__name__)


class QueueFullError(Exception):
    """There is no room for so many images now; the client should come back later."""


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


@dataclass(eq=False)
class _Order:
    """One request's images; each is known by its place among them."""

    model: ServedModel
    draw: bool
    pending: deque[tuple[int, EncodedImage]]
    unfinished: int
    scored: dict[int, Scored] = field(default_factory=dict)
    errors: dict[int, Exception] = field(default_factory=dict)
    result: Future[list[Scored]] = field(default_factory=Future)

    def settle(self) -> None:
        """Hand the outcome over, unless whoever asked has gone."""
        if not self.result.set_running_or_notify_cancel():
            return
        if self.errors:
            self.result.set_exception(self.errors[min(self.errors)])
        else:
            self.result.set_result([self.scored[place] for place in sorted(self.scored)])


@dataclass(frozen=True)
class _Task:
    """One image of an order, and its place there."""

    order: _Order
    place: int
    image: EncodedImage


class Worker:
    """Scores images in fair order, in rounds.

    Args:
        queue_size: images that may wait or be scored at a time.
        round_size: images that are scored side by side at most.
        on_scored: told of each scored image, on one of the round's threads; must not raise.
        on_round: told of each round's number of images before it begins; must not raise.
    """

    def __init__(
        self,
        queue_size: int,
        round_size: int,
        on_scored: Callable[[ServedModel, Scored], None],
        on_round: Callable[[int], None],
    ) -> None:
        self._queue_size, self._round_size = queue_size, round_size
        self._on_scored, self._on_round = on_scored, on_round
        self._orders: deque[_Order] = deque()
        self._unsettled: set[_Order] = set()
        self._waiting = 0
        self._stopping = False
        self.failure = ""
        """Why nothing is scored any more; empty as long as it is."""
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        # Torch uses all cores for one image already; with fewer, its sums would differ.
        self._torch = threading.Lock()
        self._drawing = threading.Lock()  # matplotlib's colour maps are made when first used

    @property
    def waiting(self) -> int:
        """Images that wait or are scored now."""
        return self._waiting

    @property
    def full(self) -> bool:
        """Whether there is no room for a single image now."""
        return self._waiting >= self._queue_size

    @property
    def alive(self) -> bool:
        """Whether anything submitted now will be scored."""
        return self._thread.is_alive() and not self._stopping and not self.failure

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
        where a score is not a number; what is left of the request is dropped then. A future that is
        cancelled frees its place at once.

        Raises:
            QueueFullError: when there is no room for all of them, or the worker is stopping.
        """
        order = _Order(model, draw, deque(enumerate(images)), len(images))
        with self._changed:
            no_more = self._stopping or self.failure
            if no_more or self._waiting + len(images) > self._queue_size:
                raise QueueFullError
            self._waiting += len(images)
            self._unsettled.add(order)
            self._orders.append(order)
            self._changed.notify()
        order.result.add_done_callback(lambda _: self._forget(order))
        return order.result

    def _run(self) -> None:
        try:
            self._score_all()
        except BaseException as error:  # noqa: BLE001 - whatever it was, nobody may wait for ever
            self._fail(f"the scoring thread has ended: {error!r}")

    def _fail(self, reason: str) -> None:
        """Take nothing more, and tell all who wait."""
        _LOG.error(reason)
        with self._changed:
            self.failure = reason
            unsettled = list(self._unsettled)
        for order in unsettled:
            with self._changed:
                order.errors[order.unfinished] = ModelError("the service can score no more")
                self._drop(order)
            order.settle()

    def _score_all(self) -> None:
        with ThreadPoolExecutor(self._round_size, thread_name_prefix="scorer") as pool:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._orders or self._stopping)
                    if not self._orders:
                        return
                    gathered, had_their_turn = self._gather()
                if gathered:
                    self._on_round(len(gathered))
                    self._score_round(gathered, pool)
                with self._changed:
                    # Behind those that came meanwhile.
                    self._orders.extend(order for order in had_their_turn if order.pending)

    def _gather(self) -> tuple[list[_Task], deque[_Order]]:
        """The next round, an image of each order in turn, and its orders; the lock is held."""
        gathered: list[_Task] = []
        had_their_turn: deque[_Order] = deque()
        while len(gathered) < self._round_size and (self._orders or had_their_turn):
            if not self._orders:  # each had one, and there is room for more
                self._orders, had_their_turn = had_their_turn, self._orders
            order = self._orders.popleft()
            if order.pending:
                gathered.append(_Task(order, *order.pending.popleft()))
                had_their_turn.append(order)
        return gathered, had_their_turn

    def _score_round(self, gathered: list[_Task], pool: ThreadPoolExecutor) -> None:
        """Decode each image here, one at a time, while those before it are scored already.

        This bounds memory: a decoded image is large, and each thread that had one keeps some.
        """
        scoring = []
        for task in gathered:
            began = time.perf_counter()
            try:
                view = task.order.model.detector.view(task.image.data, task.image.name)
            except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
                self._finish(task, error)
            else:
                scoring.append(pool.submit(self._score, task, view, began))
        wait(scoring)

    def _score(self, task: _Task, view: npt.NDArray[np.uint8], began: float) -> None:
        try:
            scored = self._predict(task, view, began)
            self._on_scored(task.order.model, scored)
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
            self._finish(task, error)
        except BaseException as error:  # noqa: BLE001 - it would end the loop that waits for it
            self._finish(task, ModelError(f"scoring was ended by {error!r}"))
        else:
            self._finish(task, scored)

    def _predict(self, task: _Task, view: npt.NDArray[np.uint8], began: float) -> Scored:
        detector = task.order.model.detector
        with nullcontext() if detector.graph else self._torch:
            prediction = detector.predict_view(view)
        drawing = None
        if task.order.draw:
            from gtrans_core.drawing.heat_maps import overlay  # matplotlib takes its time

            with self._drawing:
                blend = overlay(np.moveaxis(view, 0, -1), prediction.heat_map, detector.map_range)
            drawing = encode_png(blend)
        return Scored(task.image.name, prediction, drawing, time.perf_counter() - began)

    def _finish(self, task: _Task, outcome: Scored | Exception) -> None:
        """Note what became of an image, and settle its order when that was the last one."""
        order = task.order
        with self._changed:
            self._waiting -= 1
            order.unfinished -= 1
            if isinstance(outcome, Exception):
                order.errors[task.place] = outcome
                self._drop(order)
            else:
                order.scored[task.place] = outcome
            was_last = not order.unfinished
            if was_last:
                self._unsettled.discard(order)
        if was_last:
            order.settle()

    def _forget(self, order: _Order) -> None:
        """Free the place of an order whose future is done: a cancelled one waits for no round."""
        with self._changed:
            self._unsettled.discard(order)
            self._drop(order)

    def _drop(self, order: _Order) -> None:
        """Forget the images of an order that have not begun; the lock is held."""
        self._waiting -= len(order.pending)
        order.unfinished -= len(order.pending)
        order.pending.clear()

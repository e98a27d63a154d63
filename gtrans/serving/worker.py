"""What scores: a bounded queue, and threads that take what waits in it.

Each thread takes one image of the request whose turn it is, decodes and scores it, and takes the
next one: no image waits for another that happens to be slow. Requests take turns image by image.
Images are not stacked into one tensor, since then a score's last bits would depend on the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field

from gtrans.serving.drawings import Asked, Layers, heat_map_png, layers_of
from gtrans.serving.models import ServedModel
from gtrans_core.data.images import upright_size
from gtrans_core.detector.detector import Verdict
from gtrans_core.errors import ModelError

_LOG = logging.getLogger(__name__)
_VERDICTS = Asked()


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
        verdict: its score, and whether it is flagged.
        asked: what its request wants.
        heat_map_png: the image under its heat map, in the size of the network's input; None where
            nobody asked for it.
        layers: the heat map to lay over the image; None where nobody asked for it.
        seconds: from the encoded image to this.
    """

    name: str
    verdict: Verdict
    asked: Asked
    heat_map_png: bytes | None
    layers: Layers | None
    seconds: float


@dataclass(eq=False)
class _Order:
    """One request's images; each is known by its place among them."""

    model: ServedModel
    asked: Asked
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
    """Scores images in fair order, several side by side.

    Args:
        queue_size: images that may wait or be scored at a time.
        threads: images that are scored side by side at most.
        on_scored: told of each scored image, on the thread that scored it; must not raise.
        on_began: told of how many images are scored at a moment, when another begins; must not
            raise.
    """

    def __init__(
        self,
        queue_size: int,
        threads: int,
        on_scored: Callable[[ServedModel, Scored], None],
        on_began: Callable[[int], None],
    ) -> None:
        self._queue_size, self._on_scored, self._on_began = queue_size, on_scored, on_began
        self._orders: deque[_Order] = deque()
        """Those with images that have not begun; the first one's turn is next."""
        self._unsettled: set[_Order] = set()
        self._waiting = self._under_way = 0
        self._stopping = False
        self.failure = ""
        """Why nothing is scored any more; empty as long as it is."""
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._run, name=f"scorer-{number}", daemon=True)
            for number in range(threads)
        ]
        # A decoded image is large, and each thread that had one keeps some: one at a time.
        self._decoding = threading.Lock()
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
        running = all(thread.is_alive() for thread in self._threads)
        return running and not self._stopping and not self.failure

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Score what waits, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def submit(
        self, model: ServedModel, images: Sequence[EncodedImage], asked: Asked = _VERDICTS
    ) -> Future[list[Scored]]:
        """Queue a request's images; the future gives them in order, all by the same detector.

        The future raises DataError, naming the image, where one cannot be decoded, and ModelError
        where a score is not a number; what is left of the request is dropped then. A future that is
        cancelled frees its place at once.

        Raises:
            QueueFullError: when there is no room for all of them, or the worker is stopping.
        """
        order = _Order(model, asked, deque(enumerate(images)), len(images))
        with self._changed:
            no_more = self._stopping or self.failure
            if no_more or self._waiting + len(images) > self._queue_size:
                raise QueueFullError
            self._waiting += len(images)
            self._unsettled.add(order)
            self._orders.append(order)
            self._changed.notify(len(images))
        order.result.add_done_callback(lambda _: self._forget(order))
        return order.result

    def _run(self) -> None:
        try:
            while task := self._take():
                self._score(task)
        except BaseException as error:  # noqa: BLE001 - whatever it was, nobody may wait for ever
            self._fail(f"a scoring thread has ended: {error!r}")

    def _take(self) -> _Task | None:
        """The next image, of the request whose turn it is; None when there is no more."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._orders or self._stopping or self.failure)
                if self.failure or not self._orders:
                    return None
                order = self._orders.popleft()
                if not order.pending:
                    continue  # dropped meanwhile
                place, image = order.pending.popleft()
                if order.pending:  # another thread may take its next one, if nobody else waits
                    self._orders.append(order)
                self._under_way += 1
                self._on_began(self._under_way)
                return _Task(order, place, image)

    def _fail(self, reason: str) -> None:
        """Take nothing more, and tell all who wait."""
        _LOG.error(reason)
        with self._changed:
            self.failure = reason
            orders, self._unsettled = self._unsettled, set()
            for order in orders:
                order.errors[-1] = ModelError("the service can score no more")
                self._drop(order)
            self._changed.notify_all()
        for order in orders:
            order.settle()

    def _score(self, task: _Task) -> None:
        try:
            scored = self._predict(task)
            self._on_scored(task.order.model, scored)
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
            self._finish(task, error)
        except BaseException as error:  # noqa: BLE001 - it would end the loop that waits for it
            self._finish(task, ModelError(f"scoring was ended by {error!r}"))
        else:
            self._finish(task, scored)

    def _predict(self, task: _Task) -> Scored:
        began, detector = time.perf_counter(), task.order.model.detector
        with self._decoding:
            view = detector.view(task.image.data, task.image.name)
        asked, png, layers = task.order.asked, None, None
        scoring = nullcontext() if detector.graph else self._torch
        if not (asked.heat_map or asked.layers):
            with scoring:
                verdict = detector.judge_view(view)
        else:
            with scoring:
                verdict = prediction = detector.predict_view(view)
            if asked.heat_map:
                with self._drawing:
                    png = heat_map_png(view, prediction, detector)
            if asked.layers:
                size = upright_size(task.image.data, task.image.name)
                with self._drawing:
                    layers = layers_of(size, view, prediction, detector)
        seconds = time.perf_counter() - began
        return Scored(task.image.name, verdict, asked, png, layers, seconds)

    def _finish(self, task: _Task, outcome: Scored | Exception) -> None:
        """Note what became of an image, and settle its order when that was the last one."""
        order = task.order
        with self._changed:
            self._waiting -= 1
            self._under_way -= 1
            order.unfinished -= 1
            if isinstance(outcome, Exception):
                order.errors[task.place] = outcome
                self._drop(order)
            else:
                order.scored[task.place] = outcome
            if order.pending:  # behind those that came meanwhile
                self._orders.remove(order)
                self._orders.append(order)
            was_last = not order.unfinished and order in self._unsettled
            if was_last:
                self._unsettled.discard(order)
        if was_last:
            order.settle()

    def _forget(self, order: _Order) -> None:
        """Free the place of an order whose future is done: a cancelled one waits no longer."""
        with self._changed:
            self._unsettled.discard(order)
            self._drop(order)

    def _drop(self, order: _Order) -> None:
        """Forget the images of an order that have not begun; the lock is held."""
        self._waiting -= len(order.pending)
        order.unfinished -= len(order.pending)
        order.pending.clear()

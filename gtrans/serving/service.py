"""What the routes share: models, worker, limits, metrics, and the work that each request is."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from gtrans.serving.answers import PNG, drawing, facts, verdict
from gtrans.serving.connections import connection_of
from gtrans.serving.crowd import Crowd
from gtrans.serving.drawings import Asked
from gtrans.serving.feedback import LONGEST_WHO, FeedbackDesk, require_truth
from gtrans.serving.metrics import UNKNOWN, ServiceMetrics
from gtrans.serving.models import Models, ServedModel, Watcher
from gtrans.serving.settings import ServeSettings
from gtrans.serving.uploads import FORM, Uploads, busy, content_type, require_text
from gtrans.serving.worker import EncodedImage, QueueFullError, Scored, Worker
from gtrans_core.errors import DataError, GTransError, ModelError

_LOG = logging.getLogger(__name__)

OnScore = Callable[[str, int, str, float], None]
"""Called with category, model version, model digest and raw score of each scored image."""


class Service:
    """What the routes share: models, worker, limits, metrics.

    Args:
        models: the detectors, loaded.
        settings: the limits.
        on_score: called for each scored image that is no trial; an exception in it is logged and
            does no harm.
        feedback: keeps images that people mark; None: no image is kept.
    """

    def __init__(
        self,
        models: Models,
        settings: ServeSettings,
        on_score: OnScore | None = None,
        feedback: FeedbackDesk | None = None,
    ) -> None:
        self.models, self.settings = models, settings
        self.feedback = feedback
        self.uploads = Uploads(settings)
        self._on_score = on_score
        self.metrics = ServiceMetrics(lambda: self.worker.waiting)
        self.worker = Worker(
            settings.queue_size,
            settings.round_size or len(os.sched_getaffinity(0)),
            self._scored,
            self.metrics.began,
        )
        self.crowd = Crowd(settings.refusal_seconds, lambda: self.worker.full, self._refused)
        self.watcher = Watcher(models, settings.poll_seconds)
        self.metrics.show_models(models.all())
        models.on_reload = self._reloaded
        self._reports: dict[str, tuple[str, bytes]] = {}
        """By category: a model's digest and its report."""

    @asynccontextmanager
    async def running(self, _app: FastAPI) -> AsyncIterator[None]:
        """Run worker and watcher while the application runs; score what still waits, then end."""
        self.worker.start()
        self.watcher.start()
        try:
            yield
        finally:
            self.watcher.stop()
            await asyncio.to_thread(self.worker.stop)

    async def predict(
        self, request: Request, category: str | None, asked: Asked, name: str
    ) -> Response:
        """Answer one request, and count it; ``name`` is for an image that is the body."""
        began, status = time.perf_counter(), 500
        try:
            response = await self._predict(request, category, asked, name)
            status = response.status_code
        except HTTPException as error:
            status = error.status_code
            if status == 503:
                await asyncio.sleep(self.crowd.turn())
            raise
        finally:
            known = category if category and self.models.get(category) else UNKNOWN
            self.metrics.answered(known, status, time.perf_counter() - began)
        return response

    async def _predict(
        self, request: Request, category: str | None, asked: Asked, name: str
    ) -> Response:
        model = self._model(category)
        as_png = request.headers.get("accept", "").partition(";")[0].strip().lower() == PNG
        asked = replace(asked, heat_map=asked.heat_map or as_png)
        async with self.uploads.images(request, name) as images:
            if as_png and len(images) != 1:
                raise HTTPException(400, f"{PNG} answers one image: {len(images)} were sent")
            scored = await self._score(request, model, images, asked)
        if as_png:
            return drawing(model, scored[0])
        if content_type(request) == FORM:
            return JSONResponse({"predictions": [verdict(model, one) for one in scored]})
        return JSONResponse(verdict(model, scored[0]))

    async def _score(
        self, request: Request, model: ServedModel, images: Sequence[EncodedImage], asked: Asked
    ) -> list[Scored]:
        try:
            scored = asyncio.wrap_future(self.worker.submit(model, images, asked))
            return await _unless_left(request, scored)
        except QueueFullError:
            raise busy() from None
        except DataError as error:
            raise HTTPException(422, str(error)) from None
        except ModelError as error:
            raise HTTPException(500, str(error)) from None

    async def mark(
        self, request: Request, category: str, truth: str, name: str, digest: str, who: str
    ) -> dict[str, Any]:
        """Keep one image with what somebody says of it.

        It is scored again: what is kept beside it is what this service says, not what it is told.

        Raises:
            HTTPException: 404 where no image is kept; 409 when another model answers than the one
                that is meant; 429 and 507 beyond the limits.
        """
        model = self._model(category)
        if self.feedback is None:
            raise HTTPException(404, "no image is kept here: start gtrans serve with --feedback")
        truth, who = require_truth(truth), require_text("who", who, LONGEST_WHO)
        if digest and digest != model.digest:
            raise HTTPException(
                409, f"version {model.version} of {category} answers by now: score the image again"
            )
        self.feedback.admit()
        async with self.uploads.images(request, name) as images:
            if len(images) != 1:
                raise HTTPException(400, f"one image is marked at a time: {len(images)} were sent")
            [scored] = await self._score(request, model, images, Asked(trial=True))
            kept = await asyncio.to_thread(self.feedback.keep, model, images[0], scored, truth, who)
        if kept["kept"]:
            self.metrics.marked(category, was_right=kept["model_was_right"])
        return kept

    async def report(self, category: str) -> bytes:
        """The HTML report of the version that answers.

        Raises:
            HTTPException: 404 where there is none.
        """
        model = self._model(category)
        known = self._reports.get(category)
        if known is None or known[0] != model.digest:
            try:
                known = model.digest, await asyncio.to_thread(self.models.report, category)
            except GTransError as error:
                raise HTTPException(404, f"no report: {error}") from None
            self._reports[category] = known
        return known[1]

    def models_now(self) -> list[dict[str, Any]]:
        """What answers, and whether images may be marked."""
        takes = self.feedback is not None
        return [{**facts(model), "takes_feedback": takes} for model in self.models.all()]

    def _model(self, category: str | None) -> ServedModel:
        names = self.models.categories
        model = self.models.get(category) if category else None
        if model is None:
            asked = f"category '{category}' is not served" if category else "which category?"
            raise HTTPException(404, f"{asked}; there is {', '.join(names)}")
        return model

    def _scored(self, model: ServedModel, scored: Scored) -> None:
        self.metrics.scored(model, scored)
        if self._on_score is None or scored.asked.trial:
            return
        try:
            self._on_score(model.category, model.version, model.digest, scored.verdict.score)
        except Exception as error:  # noqa: BLE001 - the verdict matters more than who looks on
            _LOG.warning("the observer of scores failed: %r", error)

    def _refused(self, path: str, seconds: float) -> None:
        """A request was turned away before anything of it was looked at but its head."""
        if path.startswith("/predict"):
            names = self.models.categories
            name = path.removeprefix("/predict").strip("/") or (names[0] if len(names) == 1 else "")
            self.metrics.answered(name if name in names else UNKNOWN, 503, seconds)

    def _reloaded(self, category: str, succeeded: bool) -> None:
        self.metrics.reloaded(category, succeeded=succeeded)
        self.metrics.show_models(self.models.all())


async def _unless_left(request: Request, scored: asyncio.Future[list[Scored]]) -> list[Scored]:
    """What was scored; once the client has left, its images give up their places.

    Raises:
        HTTPException: 499 when it has left; nobody reads that, but it is counted.
    """
    connection = connection_of(request.scope)
    if connection is not None:
        connection.when_lost = scored.cancel
    try:
        return await scored
    except asyncio.CancelledError:
        if connection is None or connection.when_lost is not None:
            raise
        raise HTTPException(499, "the client left before its answer") from None

"""The routes of the service."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gtrans.serving.connections import connection_cap
from gtrans.serving.gate import Access, Gate
from gtrans.serving.metrics import UNKNOWN, ServiceMetrics
from gtrans.serving.models import Models, ServedModel, Watcher
from gtrans.serving.refusals import CLOSE, Refusal
from gtrans.serving.settings import ServeSettings
from gtrans.serving.uploads import FORM, Uploads, busy, content_type
from gtrans.serving.worker import QueueFullError, Scored, Worker
from gtrans_core import __version__
from gtrans_core.errors import DataError, ModelError

_LOG = logging.getLogger(__name__)
_PAGE = Path(__file__).with_name("page.html")
_PNG = "image/png"
# The page is self-contained: it loads nothing from another origin and sends nothing there.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; img-src blob: data:; connect-src 'self'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
}

OnScore = Callable[[str, int, str, float], None]
"""Called with category, model version, model digest and raw score of each scored image."""

HeatMap = Annotated[bool, Query(description="Add a PNG of the image under its heat map (base64).")]


class Service:
    """What the routes share: models, worker, limits, metrics.

    Args:
        models: the detectors, loaded.
        settings: the limits.
        on_score: called for each scored image; an exception in it is logged and does no harm.
    """

    def __init__(self, models: Models, settings: ServeSettings, on_score: OnScore | None) -> None:
        self.models, self.settings = models, settings
        self.uploads = Uploads(settings)
        self._on_score = on_score
        self.metrics = ServiceMetrics(lambda: self.worker.waiting)
        self.worker = Worker(
            settings.queue_size,
            settings.round_size or len(os.sched_getaffinity(0)),
            self._scored,
            self.metrics.began,
        )
        self.watcher = Watcher(models, settings.poll_seconds)
        self.metrics.show_models(models.all())
        models.on_reload = self._reloaded

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

    async def predict(self, request: Request, category: str | None, heat_map: bool) -> Response:
        """Answer one request, and count it."""
        began, status = time.perf_counter(), 500
        try:
            response = await self._predict(request, category, heat_map)
            status = response.status_code
        except HTTPException as error:
            status = error.status_code
            if status == 503:
                await asyncio.sleep(self.settings.refusal_seconds)
            raise
        finally:
            known = category if category and self.models.get(category) else UNKNOWN
            self.metrics.answered(known, status, time.perf_counter() - began)
        return response

    async def _predict(self, request: Request, category: str | None, heat_map: bool) -> Response:
        model = self._model(category)
        if self.worker.full:  # before a body is read for nothing
            raise busy(hang_up=True)
        as_png = request.headers.get("accept", "").partition(";")[0].strip().lower() == _PNG
        async with self.uploads.images(request) as images:
            if as_png and len(images) != 1:
                raise HTTPException(400, f"{_PNG} answers one image: {len(images)} were sent")
            try:
                future = self.worker.submit(model, images, draw=heat_map or as_png)
                scored = await asyncio.wrap_future(future)
            except QueueFullError:
                raise busy() from None
            except DataError as error:
                raise HTTPException(422, str(error)) from None
            except ModelError as error:
                raise HTTPException(500, str(error)) from None
        if as_png:
            return _drawing(model, scored[0])
        if content_type(request) == FORM:
            return JSONResponse({"predictions": [_verdict(model, one) for one in scored]})
        return JSONResponse(_verdict(model, scored[0]))

    def _model(self, category: str | None) -> ServedModel:
        names = self.models.categories
        model = self.models.get(category) if category else None
        if model is None:
            asked = f"category '{category}' is not served" if category else "which category?"
            raise HTTPException(404, f"{asked}; there is {', '.join(names)}")
        return model

    def _scored(self, model: ServedModel, scored: Scored) -> None:
        self.metrics.scored(model, scored)
        if self._on_score is None:
            return
        try:
            self._on_score(model.category, model.version, model.digest, scored.prediction.score)
        except Exception as error:  # noqa: BLE001 - the verdict matters more than who looks on
            _LOG.warning("the observer of scores failed: %r", error)

    def _reloaded(self, category: str, succeeded: bool) -> None:
        self.metrics.reloaded(category, succeeded=succeeded)
        self.metrics.show_models(self.models.all())


def create_app(
    models: Models,
    settings: ServeSettings,
    on_score: OnScore | None = None,
    access: Access | None = None,
) -> FastAPI:
    """The service as an ASGI application; its ``Service`` is ``app.state.service``.

    Args:
        models: the detectors, loaded; a watcher exchanges them when the champion moves.
        settings: limits.
        on_score: told of category, version, digest and raw score of each scored image, on the
            threads that score, so perhaps several times at once; it must be quick.
        access: who is answered; None: everybody.
    """
    service = Service(models, settings, on_score)
    app = FastAPI(
        title="GTrans",
        version=__version__,
        lifespan=service.running,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    _add_error_handlers(app)
    # So that half of all connections can always be given to probes.
    app.add_middleware(Gate, access=access or Access(), posts=max(1, connection_cap(settings) // 2))
    app.add_middleware(HeadLikeGet)

    @app.post("/predict/{category}")
    async def predict(request: Request, category: str, heat_map: HeatMap = False) -> Response:
        """Score the image that is the body, or the files of a form."""
        _refuse_other_parameters(request, ("heat_map",))
        return await service.predict(request, category, heat_map)

    @app.post("/predict")
    async def predict_by_query(
        request: Request, category: str | None = None, heat_map: HeatMap = False
    ) -> Response:
        """As ``/predict/{category}``; where one category is served, it need not be named."""
        _refuse_other_parameters(request, ("category", "heat_map"))
        names = models.categories
        only = names[0] if len(names) == 1 else None
        return await service.predict(request, category or only, heat_map)

    @app.get("/models")
    async def show_models() -> list[dict[str, Any]]:
        """The detectors that answer now."""
        return [_facts(model) for model in models.all()]

    @app.get("/healthz")
    async def healthz() -> Response:
        """The process lives, and can score."""
        if service.worker.failure:
            return JSONResponse({"error": service.worker.failure}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        """Every detector is loaded, and the worker works."""
        if not service.worker.alive:
            return JSONResponse({"error": service.worker.failure or "the service ends"}, 503)
        return JSONResponse({"status": "ok", "models": [_facts(model) for model in models.all()]})

    @app.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        """A page to drop an image on."""
        return HTMLResponse(_PAGE.read_text(encoding="utf-8"), headers=_PAGE_HEADERS)

    return app


class HeadLikeGet:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (ASGI)."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET"}, receive, send_head)


def _refuse_other_parameters(request: Request, known: Sequence[str]) -> None:
    """A parameter that would be passed over was meant to do something."""
    for name, _ in request.query_params.multi_items():
        if name not in known:
            where = "is in the path" if name == "category" else "is not known"
            raise HTTPException(400, f"parameter {name!r} {where}; there is {', '.join(known)}")
        if len(request.query_params.getlist(name)) > 1:
            raise HTTPException(400, f"parameter {name!r} is given twice")


def _add_error_handlers(app: FastAPI) -> None:
    """Whatever goes wrong, the answer is ``{"error": "..."}``."""

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> Response:
        if (error.headers or {}).items() >= CLOSE.items():
            return Refusal(error.status_code, error.detail, error.headers)
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        found = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        return JSONResponse({"error": "; ".join(found)}, 400)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        _LOG.error("%r: %r", request.url.path, error)
        return JSONResponse({"error": "internal error; the service's log says more"}, 500)


def _facts(model: ServedModel) -> dict[str, Any]:
    return {
        "category": model.category,
        "model_version": model.version,
        "model_digest": model.digest,
        "threshold": model.detector.info.threshold,
    }


def _verdict(model: ServedModel, scored: Scored) -> dict[str, Any]:
    verdict = {
        "image": scored.name,
        "score": scored.prediction.score,
        "is_anomalous": scored.prediction.is_anomalous,
        **_facts(model),
    }
    if scored.heat_map_png is not None:
        verdict["heat_map_png"] = base64.b64encode(scored.heat_map_png).decode("ascii")
    return verdict


def _drawing(model: ServedModel, scored: Scored) -> Response:
    headers = {
        "X-GTrans-Score": repr(scored.prediction.score),
        "X-GTrans-Is-Anomalous": str(scored.prediction.is_anomalous).lower(),
        "X-GTrans-Threshold": repr(model.detector.info.threshold),
        "X-GTrans-Model-Version": str(model.version),
        "X-GTrans-Model-Digest": model.digest,
    }
    return Response(scored.heat_map_png, media_type=_PNG, headers=headers)

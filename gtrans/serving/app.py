"""The routes of the service."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.responses import JSONResponse

from gtrans.serving.answers import facts
from gtrans.serving.connections import connection_cap
from gtrans.serving.drawings import Asked
from gtrans.serving.feedback import FeedbackDesk
from gtrans.serving.gate import Access, Gate
from gtrans.serving.models import Models
from gtrans.serving.pages import REPORT_HEADERS, add_pages
from gtrans.serving.rules import HeadLikeGet, add_error_handlers, refuse_other_parameters
from gtrans.serving.service import OnScore, Service
from gtrans.serving.settings import ServeSettings
from gtrans_core import __version__

HeatMap = Annotated[bool, Query(description="Add a PNG of the image under its heat map (base64).")]
Layers = Annotated[bool, Query(description="Add the heat map to lay over the image (base64).")]
Trial = Annotated[bool, Query(description="Leave the score out of the record for gtrans drift.")]
Name = Annotated[str, Query(description="What to call an image that is the body.")]
Truth = Annotated[str, Query(description="good, or the kind of defect that the image shows.")]
Digest = Annotated[str, Query(description="Refuse when another model answers; empty: any.")]
Who = Annotated[str, Query(description="Who says so.")]
_OPTIONS = ("heat_map", "layers", "trial", "name")
_ONE_IMAGE = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_IMAGES = {
    "requestBody": {
        "required": True,
        "content": {
            **_ONE_IMAGE["requestBody"]["content"],  # type: ignore[dict-item]
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "array", "items": {"type": "string", "format": "binary"}}
                    },
                }
            },
        },
    }
}


def create_app(
    models: Models,
    settings: ServeSettings,
    on_score: OnScore | None = None,
    access: Access | None = None,
    feedback: FeedbackDesk | None = None,
) -> FastAPI:
    """The service as an ASGI application; its ``Service`` is ``app.state.service``.

    Args:
        models: the detectors, loaded; a watcher exchanges them when the champion moves.
        settings: limits.
        on_score: told of category, version, digest and raw score of each scored image, on the
            threads that score, so perhaps several times at once; it must be quick.
        access: who is answered; None: everybody.
        feedback: keeps images that people mark; None: no image is kept.
    """
    service = Service(models, settings, on_score, feedback)
    app = FastAPI(
        title="GTrans",
        version=__version__,
        lifespan=service.running,
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.service = service
    add_error_handlers(app)
    cap = connection_cap(settings)
    app.add_middleware(
        Gate,
        access=access or Access(),
        crowd=service.crowd,
        connections=cap,
        largest=settings.max_request_bytes,
    )
    app.add_middleware(HeadLikeGet)
    _add_work(app, service)
    _add_reading(app, service)
    add_pages(app)
    return app


def _add_work(app: FastAPI, service: Service) -> None:
    """What takes images."""

    @app.post("/predict/{category}", openapi_extra=_IMAGES)
    async def predict(
        request: Request,
        category: str,
        heat_map: HeatMap = False,
        layers: Layers = False,
        trial: Trial = False,
        name: Name = "",
    ) -> Response:
        """Score the image that is the body, or the files of a form."""
        refuse_other_parameters(request, _OPTIONS)
        return await service.predict(request, category, Asked(heat_map, layers, trial), name)

    @app.post("/predict", openapi_extra=_IMAGES)
    async def predict_by_query(
        request: Request,
        category: str | None = None,
        heat_map: HeatMap = False,
        layers: Layers = False,
        trial: Trial = False,
        name: Name = "",
    ) -> Response:
        """The same by parameter; where one category is served, it need not be named."""
        refuse_other_parameters(request, ("category", *_OPTIONS))
        names = service.models.categories
        only = names[0] if len(names) == 1 else None
        asked = Asked(heat_map, layers, trial)
        return await service.predict(request, category or only, asked, name)

    @app.post("/feedback/{category}", openapi_extra=_ONE_IMAGE)
    async def mark(
        request: Request,
        category: str,
        truth: Truth,
        name: Name = "",
        model_digest: Digest = "",
        who: Who = "",
    ) -> dict[str, Any]:
        """Keep the image that is the body, with what somebody says that it shows."""
        refuse_other_parameters(request, ("truth", "name", "model_digest", "who"))
        return await service.mark(request, category, truth, name, model_digest, who)


def _add_reading(app: FastAPI, service: Service) -> None:
    """What tells how things are."""
    models = service.models

    @app.get("/models")
    async def show_models() -> list[dict[str, Any]]:
        """The detectors that answer now, and whether images may be marked."""
        return service.models_now()

    @app.get("/report/{category}")
    async def report(category: str) -> Response:
        """The evaluation report of the version that answers."""
        return Response(
            await service.report(category), media_type="text/html", headers=REPORT_HEADERS
        )

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
        return JSONResponse({"status": "ok", "models": [facts(model) for model in models.all()]})

    @app.get("/metrics")
    async def metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

"""What holds for every route: HEAD, parameters that are not known, errors as JSON."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gtrans.serving.refusals import CLOSE, Refusal

_LOG = logging.getLogger(__name__)


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


def refuse_other_parameters(request: Request, known: Sequence[str]) -> None:
    """A parameter that would be passed over was meant to do something.

    Raises:
        HTTPException: 400, for one that is not known or given twice.
    """
    for name, _ in request.query_params.multi_items():
        if name not in known:
            where = "is in the path" if name == "category" else "is not known"
            raise HTTPException(400, f"parameter {name!r} {where}; there is {', '.join(known)}")
        if len(request.query_params.getlist(name)) > 1:
            raise HTTPException(400, f"parameter {name!r} is given twice")


def add_error_handlers(app: FastAPI) -> None:
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

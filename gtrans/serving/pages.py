"""The pages for people, and what they load: all of it comes from this service."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException

from gtrans_core.drawing.pages import base_style

ASSETS = "/assets/"
_FOLDER = Path(__file__).with_name("page")
_KINDS = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}
_BASE, _LEGEND = "base.css", "legend.webp"
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
REPORT_HEADERS = {
    # Its own policy names the one script that it has. A sandbox is of no origin: whatever was
    # written to the registry, it reads nothing from this service.
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def add_pages(app: FastAPI) -> None:
    """The trial desk at ``/``, the interface at ``/docs``, and what both load."""

    @app.get("/", include_in_schema=False)
    async def desk() -> Response:
        """A page to drop images on."""
        return _file("page.html")

    @app.get("/docs", include_in_schema=False)
    async def interface() -> Response:
        """A page to try the interface on."""
        return _file("interface.html")

    @app.get(ASSETS + "{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        """A style, a script or a picture of the pages."""
        if name == _LEGEND:
            return Response(_legend(), media_type="image/webp", headers=_PAGE_HEADERS)
        if name == _BASE:
            return Response(base_style(), media_type=_KINDS[".css"], headers=_PAGE_HEADERS)
        return _file(name)


def _file(name: str) -> Response:
    if name not in _names():
        raise HTTPException(404, f"{name}: no such file of a page")
    path = _FOLDER / name
    return Response(path.read_bytes(), media_type=_KINDS[path.suffix], headers=_PAGE_HEADERS)


@cache
def _names() -> frozenset[str]:
    return frozenset(path.name for path in _FOLDER.iterdir() if path.suffix in _KINDS)


@cache
def _legend() -> bytes:
    from gtrans_core.drawing.layers import legend  # matplotlib takes its time

    return legend()

"""From a request's body to encoded images, within limits that hold whatever its headers say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from gtrans.serving.settings import ServeSettings
from gtrans.serving.worker import EncodedImage

FORM = "multipart/form-data"
_RAW = "application/octet-stream"
_FIELDS = 8
"""Most text fields that a form is parsed with; they are refused, but with a reason."""


@dataclass
class _Body:
    """A body as it arrives; ``size`` counts until it is released, joined or not."""

    chunks: list[bytes] = field(default_factory=list)
    size: int = 0


class Uploads:
    """Reads bodies, and holds a limited number of bytes of them at a time."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.held = 0
        """Bytes of bodies held now."""

    @asynccontextmanager
    async def images(self, request: Request) -> AsyncIterator[list[EncodedImage]]:
        """The images of a request, as long as the context lasts.

        Raises:
            HTTPException: 400 for no image or an invalid form; 408 when the body takes too
                long; 413 when it is too large, or has too many images; 415 for another content
                type; 503 when too much is held already.
        """
        kind = content_type(request)
        if kind not in (FORM, _RAW) and not kind.startswith("image/"):
            raise HTTPException(
                415,
                f"content type '{kind or 'none'}': send the bytes of an image file as image/png, "
                f"image/jpeg or {_RAW}, or files as {FORM}",
            )
        body = _Body()
        try:
            await self._read(request, body)
            yield await (self._form_files(request, body) if kind == FORM else _raw_image(body))
        finally:
            self._release(body)

    async def _read(self, request: Request, body: _Body) -> None:
        """Collect the body.

        One that is refused is read on for a while, and thrown away, so that a client which sends
        everything before it listens gets the answer.
        """
        received, refusal = 0, None
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                async for chunk in request.stream():
                    received += len(chunk)
                    refusal = refusal or self._refusal(received, len(chunk))
                    if refusal is None:
                        body.chunks.append(chunk)
                        body.size += len(chunk)
                        self.held += len(chunk)
                        continue
                    self._release(body)
                    if received > 2 * self.settings.max_request_bytes:
                        break
        except TimeoutError:
            seconds = f"{self.settings.body_seconds:g} s"
            refusal = _hang_up(408, f"the body took longer than {seconds} to arrive")
        except ClientDisconnect:
            refusal = _hang_up(400, "the client left before its body was complete")
        if refusal is not None:
            raise refusal

    def _refusal(self, received: int, more: int) -> HTTPException | None:
        limit = self.settings.max_request_bytes
        if received > limit:
            return _hang_up(413, f"the body is too large: at most {limit:,} bytes")
        if self.held + more > self.settings.max_body_bytes:
            return busy(hang_up=True)
        return None

    def _release(self, body: _Body) -> None:
        self.held -= body.size
        body.size = 0
        body.chunks.clear()

    async def _form_files(self, request: Request, body: _Body) -> list[EncodedImage]:
        limit = self.settings.images_a_request
        parser = MultiPartParser(
            request.headers, _drained(body), max_files=limit + 1, max_fields=_FIELDS
        )
        parser.spool_max_size = self.settings.max_request_bytes  # never to a disk
        try:
            form = await parser.parse()
        except MultiPartException as error:
            if error.message.startswith("Too many files"):
                raise _too_many(f"more than {limit}", limit) from None
            raise HTTPException(400, f"not a valid form: {error.message}") from None
        images: list[EncodedImage] = []
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                raise HTTPException(400, f"form field '{name}': expected a file, got text")
            shown = f"image {len(images) + 1} ({value.filename or name})"
            images.append(EncodedImage(shown, await value.read()))
        await form.close()
        if not images:
            raise HTTPException(400, "no image: the form has no file")
        if len(images) > limit:
            raise _too_many(str(len(images)), limit)
        return images


def content_type(request: Request) -> str:
    """A request's media type, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def busy(*, hang_up: bool = False) -> HTTPException:
    """The answer to a request that there is no room for now."""
    headers = {"Retry-After": "1"} | (_CLOSE if hang_up else {})
    return HTTPException(503, "too much to do at the moment: come back in a second", headers)


async def _raw_image(body: _Body) -> list[EncodedImage]:
    if not body.size:
        raise HTTPException(400, "no image: the body is empty")
    image = EncodedImage("image", b"".join(body.chunks))
    body.chunks.clear()
    return [image]


async def _drained(body: _Body) -> AsyncGenerator[bytes, None]:
    """The chunks, each forgotten once it is taken."""
    body.chunks.reverse()
    while body.chunks:
        yield body.chunks.pop()
    yield b""


# A connection whose body was not read to its end cannot be used again.
_CLOSE = {"Connection": "close"}


def _hang_up(status: int, reason: str) -> HTTPException:
    return HTTPException(status, reason, _CLOSE)


def _too_many(count: str, limit: int) -> HTTPException:
    return HTTPException(413, f"{count} images in one request: expected 1 to {limit}")

"""From a request's body to encoded images, within limits that hold whatever its headers say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from gtrans.serving.refusals import CLOSE
from gtrans.serving.settings import ServeSettings
from gtrans.serving.worker import EncodedImage
from gtrans_core.system.text import printable

FORM = "multipart/form-data"
_RAW = "application/octet-stream"
_FIELDS = 8
"""Most text fields that a form is parsed with; they are refused, but with a reason."""

_LONGEST_NAME = 255
_WINDOW_SECONDS = 5.0
"""A body's rate is looked at over as much."""
_STALLED_SECONDS = 1.0
"""Where room is short, a body that nothing came of for so long is given up for another."""


@dataclass(eq=False)
class _Body:
    """A body as it arrives.

    Attributes:
        client: address of who sends it.
        chunks: its bytes.
        size: bytes that count as held until they are released, joined or not.
        heard: loop time of the last chunk.
        deadline: ends the reading; None before it begins.
    """

    client: str
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    heard: float = 0.0
    deadline: asyncio.Timeout | None = None


class Uploads:
    """Reads bodies, and holds a limited number of bytes of them at a time."""

    def __init__(self, settings: ServeSettings) -> None:
        self.settings = settings
        self.held = 0
        """Bytes of bodies held now."""
        self._of_client: Counter[str] = Counter()
        self._arriving: set[_Body] = set()

    @asynccontextmanager
    async def images(self, request: Request, name: str = "") -> AsyncIterator[list[EncodedImage]]:
        """The images of a request, as long as the context lasts.

        Args:
            request: an image is its body, or files of a form are.
            name: of an image that is the body; empty: ``image``.

        Raises:
            HTTPException: 400 for no image, an invalid form or an unfit name; 408 when the body
                takes too long or stalls; 413 when it is too large, or has too many images; 415 for
                another content type; 503 when too much is held already, by all or by this client.
        """
        kind = content_type(request)
        if kind not in (FORM, _RAW) and not kind.startswith("image/"):
            raise _hang_up(
                415,
                f"content type '{kind or 'none'}': send the bytes of an image file as image/png, "
                f"image/jpeg or {_RAW}, or files as {FORM}",
            )
        shown = require_text("name", name, _LONGEST_NAME) or "image"
        self._refuse_size(int(request.headers.get("content-length", 0)))
        body = _Body(request.client.host if request.client else "")
        try:
            await self._read(request, body)
            yield await (
                self._form_files(request, body) if kind == FORM else _raw_image(body, shown)
            )
        finally:
            self._release(body)

    async def _read(self, request: Request, body: _Body) -> None:
        """Collect the body, as long as it keeps coming."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self.settings.body_seconds
        enough, recent, received = self.settings.min_body_rate * _WINDOW_SECONDS, 0, 0
        self._arriving.add(body)
        try:
            async with asyncio.timeout_at(min(end, loop.time() + _WINDOW_SECONDS)) as deadline:
                body.deadline = deadline
                async for chunk in request.stream():
                    body.heard = loop.time()
                    received, recent = received + len(chunk), recent + len(chunk)
                    self._refuse_size(received)
                    self._hold(body, chunk)
                    if recent >= enough:
                        recent = 0
                        deadline.reschedule(min(end, loop.time() + _WINDOW_SECONDS))
        except TimeoutError:
            seconds, rate = self.settings.body_seconds, self.settings.min_body_rate
            raise _hang_up(
                408,
                f"the body took longer than {seconds:g} s, or came slower than {rate:,} bytes/s",
            ) from None
        except ClientDisconnect:
            raise _hang_up(400, "the client left before its body was complete") from None
        finally:
            self._arriving.discard(body)

    def _refuse_size(self, size: int) -> None:
        limit = self.settings.max_request_bytes
        if size > limit:
            raise _hang_up(413, f"the body is too large: at most {limit:,} bytes")

    def _hold(self, body: _Body, chunk: bytes) -> None:
        """Keep a chunk, in place of bodies that have stalled if need be."""
        # A request of the size that is allowed can always be held, where nothing else is.
        share = max(self.settings.client_body_bytes, self.settings.max_request_bytes)
        while self._of_client[body.client] + len(chunk) > share:
            self._give_up_stalled(body, self._of(body.client))
        while self.held + len(chunk) > self.settings.max_body_bytes:
            self._give_up_stalled(body, self._arriving)
        body.chunks.append(chunk)
        body.size += len(chunk)
        self.held += len(chunk)
        self._of_client[body.client] += len(chunk)

    def _of(self, client: str) -> list[_Body]:
        return [body for body in self._arriving if body.client == client]

    def _give_up_stalled(self, newcomer: _Body, among: Iterable[_Body]) -> None:
        """End the body that has been stalled for longest; refuse the newcomer where none is."""
        before = newcomer.heard - _STALLED_SECONDS
        stalled = [body for body in among if body.size and body.heard < before]
        if not stalled:
            raise busy(hang_up=True)
        longest = min(stalled, key=lambda body: body.heard)
        self._arriving.discard(longest)
        self._release(longest)
        if longest.deadline is not None:
            longest.deadline.reschedule(newcomer.heard)

    def _release(self, body: _Body) -> None:
        self.held -= body.size
        self._of_client[body.client] -= body.size
        if not self._of_client[body.client]:
            del self._of_client[body.client]
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
    headers = {"Retry-After": "1"} | (CLOSE if hang_up else {})
    return HTTPException(503, "too much to do at the moment: come back in a second", headers)


async def _raw_image(body: _Body, name: str) -> list[EncodedImage]:
    if not body.size:
        raise HTTPException(400, f"{name}: no image, the body is empty")
    image = EncodedImage(name, b"".join(body.chunks))
    body.chunks.clear()
    return [image]


async def _drained(body: _Body) -> AsyncGenerator[bytes, None]:
    """The chunks, each forgotten once it is taken."""
    body.chunks.reverse()
    while body.chunks:
        yield body.chunks.pop()
    yield b""


def require_text(field: str, text: str, longest: int) -> str:
    """Text from a parameter that is fit to be kept and shown.

    Raises:
        HTTPException: 400, when it is too long or has characters that a terminal obeys.
    """
    if len(text) > longest or printable(text) != text:
        raise _hang_up(400, f"{field}: expected at most {longest} printable characters")
    return text


def _hang_up(status: int, reason: str) -> HTTPException:
    return HTTPException(status, reason, CLOSE)


def _too_many(count: str, limit: int) -> HTTPException:
    return HTTPException(413, f"{count} images in one request: expected 1 to {limit}")

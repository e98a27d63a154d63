"""The answer to a request that is refused, whatever is left of its body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

CLOSE = {"Connection": "close"}
"""A connection whose body was not read to its end cannot be used again."""
_PAUSE_SECONDS, _LINGER_SECONDS, _LINGER_BYTES = 0.5, 5.0, 64 * 2**20


class Refusal(JSONResponse):
    """``{"error": reason}``, sent at once; then the connection is closed.

    Many clients send everything before they listen. So what is left of the body is read and thrown
    away for a while: closed with bytes unread, the connection would be reset and the answer lost.
    """

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__({"error": reason}, status, {**(headers or {}), **CLOSE})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer, then read on (ASGI)."""
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await _throw_away(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _throw_away(receive: Receive) -> None:
    """Read until the body ends, pauses, or is too much."""
    received = 0
    while received < _LINGER_BYTES:
        async with asyncio.timeout(_PAUSE_SECONDS):
            message = await receive()
        received += len(message.get("body", b""))
        if not message.get("more_body", False):
            return

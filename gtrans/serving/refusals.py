"""The answer to a request that is refused, whatever is left of its body."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gtrans.serving.connections import connection_of

CLOSE = {"Connection": "close"}
"""A connection whose body was not read to its end cannot be used again."""
_LINGER_SECONDS, _LOOK_SECONDS = 5.0, 0.05


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
        connection = connection_of(scope)
        if connection is not None:
            connection.throw_away()
            with suppress(TimeoutError):
                async with asyncio.timeout(_LINGER_SECONDS):
                    while connection.is_sending:
                        await asyncio.sleep(_LOOK_SECONDS)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

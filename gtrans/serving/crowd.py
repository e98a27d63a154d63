"""Requests that there is no room for: each is told so in its turn, only so many a second.

Clients that come back at once, whatever they are told, would take the processor from the images
that are being scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from math import ceil

from starlette.types import Receive, Scope, Send

from gtrans.serving.connections import connection_of
from gtrans.serving.refusals import Refusal

_A_SECOND = 20.0
"""Refusals; each takes a millisecond or more, most of it to take in what is thrown away."""
_LONGEST_SECONDS = 10.0


class Crowd:
    """Whom there is no room for.

    Args:
        seconds: that a request waits at least until it is told; 0: all are told at once.
        is_full: whether there is no room now.
        on_refused: told of each request's path, and of the seconds until it was told.
    """

    def __init__(
        self,
        seconds: float,
        is_full: Callable[[], bool],
        on_refused: Callable[[str, float], None],
    ) -> None:
        self.is_full = is_full
        self.waiting = 0
        """Requests that wait to be told."""
        self._seconds, self._on_refused = seconds, on_refused
        self._next = 0.0

    def turn(self) -> float:
        """Seconds until the next one may be told; each call is one's turn."""
        if not self._seconds:
            return 0.0
        now = asyncio.get_running_loop().time()
        earliest = max(self._next + 1 / _A_SECOND, now + self._seconds)
        self._next = min(earliest, now + _LONGEST_SECONDS)
        return self._next - now

    async def turn_away(
        self, scope: Scope, receive: Receive, send: Send, *, at_once: bool = False
    ) -> None:
        """Answer 503 when it is its turn, unless the client has left (ASGI)."""
        seconds = 0.0 if at_once else self.turn()
        connection = connection_of(scope)
        if connection is not None:
            connection.throw_away()
        self.waiting += 1
        try:
            if await _leaves(scope, receive, seconds):
                return
        finally:
            self.waiting -= 1
        self._on_refused(scope["path"], seconds)
        await _no_room(seconds)(scope, receive, send)


def _no_room(seconds: float) -> Refusal:
    """Who has waited should wait as long until it comes back."""
    wait = str(max(1, ceil(seconds)))
    reason = f"too much to do at the moment: come back in {wait} s"
    return Refusal(503, reason, {"Retry-After": wait})


async def _leaves(scope: Scope, receive: Receive, seconds: float) -> bool:
    """Whether the client leaves within so many seconds."""
    if any(name == b"expect" for name, _ in scope["headers"]):  # to receive is to say "go on"
        await asyncio.sleep(seconds)
        return False
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
            return True
    return False

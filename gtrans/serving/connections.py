"""What a connection may cost: deadlines, a cap, and no log line for each that misbehaves.

uvicorn has no deadline for heads, no cap below its own answers, and leaves a client alone that does
not read its answer. Its setting ``http`` takes a class, and this one adds them. (Hypercorn's read
timeout starts anew with each byte; Granian stops accepting at its cap, health checks too.)
"""

from __future__ import annotations

import asyncio
import json
import logging
import resource
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from gtrans.serving.settings import ServeSettings

_STALLED_SECONDS = 1.0
"""Once connections are short, one that did nothing for so long makes room for another."""
_LOG_SECONDS = 60.0
_PAUSE_SECONDS, _LINGER_BYTES = 0.5, 64 * 2**20
"""A body that is thrown away is waited for until it pauses, or is too much."""
_STATE = "gtrans.connection"
_FREE_PIECES, _PIECE_BYTES = 1000, 64
"""A body may come in a thousand pieces, and one more for each so many bytes."""


def connection_cap(settings: ServeSettings) -> int:
    """Most connections at a time: a third of what the process may open, at most the setting.

    The rest is for models, databases and files, and for connections that were accepted but not
    looked at yet.
    """
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return settings.max_connections
    return max(1, min(settings.max_connections, descriptors // 3))


class _Whole(h11.Connection):
    """HTTP whose bodies come in pieces that are worth it: each costs time, however small."""

    _pieces = _bytes = 0
    announced: int | None = 0
    """Bytes of the body by its Content-Length; None: in chunks, so nobody knows."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """What came next (h11)."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._pieces = self._bytes = 0
            self.announced = _announced(event)
        elif isinstance(event, h11.Data):
            self._pieces += 1
            self._bytes += len(event.data)
            if self._pieces > _FREE_PIECES + self._bytes // _PIECE_BYTES:
                raise h11.RemoteProtocolError("the body comes in crumbs")
        return event

    @property
    def came(self) -> int:
        """Bytes of the body that are here, read or not."""
        return self._bytes + len(self.trailing_data[0])


def _announced(head: h11.Request) -> int | None:
    named = dict(head.headers)
    return None if b"transfer-encoding" in named else int(named.get(b"content-length", 0))


class Connection(H11Protocol):
    """One connection, which must do something or go. A subclass has its limits.

    Attributes:
        settings: the deadlines.
        cap: most connections at a time. Beyond it the one that has kept still for longest makes
            room; where all have work under way, the new one is refused.
    """

    settings: ClassVar[ServeSettings]
    cap: ClassVar[int]

    when_lost: Callable[[], object] | None = None
    """Called once, when the connection is gone."""

    # uvicorn declares both for its own event loop policies; this one is always asyncio's.
    transport: asyncio.Transport
    conn: _Whole
    _deadline: float
    """Until when the next head must be here, while no request is under way."""
    _heard: float
    _idle: bool
    """Whether a whole request went before, and nothing of the next has come."""
    _unflushed_since: float | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Whole(h11.SERVER)
        self.app_state = {**self.app_state, _STATE: weakref.ref(self)}
        self._thrown_away: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room where there are too many (asyncio)."""
        super().connection_made(transport)
        self._heard = self.loop.time()
        self._deadline = self._heard + self.settings.head_seconds
        self._idle, self._unflushed_since = False, None
        if len(self.connections) <= self.cap:  # most often; to look at each costs time
            return
        others = [
            one for one in self.connections if isinstance(one, Connection) and one is not self
        ]
        if sum(not other._gone for other in others) < self.cap:
            return
        still = [other for other in others if other._dispensable]
        victim = min(still, key=lambda other: other._heard, default=self)
        victim.refuse(503, "too many connections: come back in a second")

    def data_received(self, data: bytes) -> None:
        """The first bytes of a head start its deadline; more do not prolong it (asyncio)."""
        self._heard = self.loop.time()
        if self._thrown_away is not None:
            self._thrown_away += len(data)
            if self._thrown_away > _LINGER_BYTES:  # or a fast one sends as much again meanwhile
                self.flow.pause_reading()
            return
        if self._idle:
            self._idle = False
            self._deadline = self._heard + self.settings.head_seconds
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever works for it may stop (asyncio)."""
        super().connection_lost(exc)
        when_lost, self.when_lost = self.when_lost, None
        if when_lost is not None:
            when_lost()

    def on_response_complete(self) -> None:
        """From here on the connection is idle, unless more has come already (uvicorn)."""
        self._heard = self.loop.time()
        self._idle = not self.conn.trailing_data[0] and self.conn.their_state is h11.DONE
        patience = self.settings.idle_seconds if self._idle else self.settings.head_seconds
        self._deadline = self._heard + patience
        super().on_response_complete()

    def throw_away(self) -> None:
        """Read on, so that the client can send all and then listen, but look at nothing more."""
        if self._thrown_away is None:
            self._thrown_away = 0
            self.flow.resume_reading()

    @property
    def is_sending(self) -> bool:
        """Whether more of a body that is thrown away is to be waited for."""
        thrown_away, announced = self._thrown_away or 0, self.conn.announced
        if self.transport.is_closing() or thrown_away > _LINGER_BYTES:
            return False
        still = self.loop.time() - self._heard
        all_came = announced is not None and self.conn.came + thrown_away >= announced
        return not all_came and still < _PAUSE_SECONDS

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What is no HTTP (uvicorn)."""
        self.refuse(400, "not a valid HTTP request")

    def refuse(self, status: int, reason: str) -> None:
        """Say so, where an answer can still begin, and close."""
        if self.transport.is_closing():
            self.transport.abort()
            return
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps({"error": reason}).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            headers += [("Connection", "close")]
            headers += [("Retry-After", "1")] * (status == HTTPStatus.SERVICE_UNAVAILABLE)
            phrase = HTTPStatus(status).phrase.encode()
            head = h11.Response(status_code=status, headers=headers, reason=phrase)
            for event in (head, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.close()

    def check(self, now: float) -> None:
        """Close what is beyond its time; asked every second."""
        if not self.transport.get_write_buffer_size():
            self._unflushed_since = None
        elif self._unflushed_since is None:
            self._unflushed_since = now
        elif now - self._unflushed_since > self.settings.write_seconds:
            self.transport.abort()
        if self._busy or now < self._deadline or self.transport.is_closing():
            return
        if self.conn.trailing_data[0]:
            self.refuse(408, "no whole request came in time")
        else:  # a client could take an answer for that to its next request
            self.transport.close()

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def _gone(self) -> bool:
        """Whether its descriptor is free in a moment."""
        return self.transport.is_closing() and not self.transport.get_write_buffer_size()

    @property
    def _dispensable(self) -> bool:
        """Whether it keeps still: between requests, in mid-body, or not reading its answer."""
        if self._gone:
            return False
        if not self._busy or self.transport.is_closing():
            return True
        their_turn = self.cycle.more_body or self.transport.get_write_buffer_size() > 0
        ours = self.flow.read_paused
        return their_turn and not ours and self.loop.time() - self._heard > _STALLED_SECONDS


def connection_of(scope: Mapping[str, Any]) -> Connection | None:
    """The connection that a request (ASGI) came by; None where another server runs the app."""
    found = scope.get("state", {}).get(_STATE)
    return found() if found else None


def check_all(connections: Iterable[object], now: float) -> None:
    """Close those that are beyond their time."""
    for connection in list(connections):
        if isinstance(connection, Connection):
            connection.check(now)


class OnceAMinute(logging.Filter):
    """Lets the first of like records pass each minute: clients must not be able to fill a disk."""

    def __init__(self) -> None:
        super().__init__()
        self._passed: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it; information passes always, since no client causes it."""
        if record.levelno < logging.WARNING:
            return True
        kind, now = str(record.msg).partition("\n")[0], time.monotonic()
        if now - self._passed.get(kind, -_LOG_SECONDS) < _LOG_SECONDS:
            return False
        self._passed[kind] = now
        return True

"""Connections on which a server has so long for an answer, and no longer.

The timeouts of urllib3, on which MLflow's, Kubeflow's and S3's clients stand, start anew with each
byte: a server that drips would hold its client for ever.
"""

from __future__ import annotations

import functools
import io
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urllib3 import PoolManager

SECONDS = 120.0
"""For the content of an answer, and a second more for each ``SLOWEST`` bytes of it that came."""
SLOWEST = 8 << 10
"""Bytes a second of a large content."""


def give_deadlines(pools: PoolManager) -> None:
    """Have every new connection of urllib3's pools end an answer that takes too long.

    Its head has the timeout of the request in all, its content ``SECONDS`` and a minimum rate. What
    is too late raises a TimeoutError, which urllib3 makes its own kind of.
    """
    kinds = pools.pool_classes_by_scheme
    pools.pool_classes_by_scheme = {scheme: _timed(kind) for scheme, kind in kinds.items()}


@functools.cache
def _timed(pool: Any) -> Any:
    """The same kind of pool, of timed connections."""
    usual = pool.ConnectionCls
    if issubclass(usual, _TimedConnection):
        return pool
    connection = type(usual.__name__, (_TimedConnection, usual), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _TimedConnection:
    """Mixed into a connection of urllib3's."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        self.sock = _TimedSocket(self.sock)

    def _tunnel(self) -> None:
        bare, self.sock = self.sock, _TimedSocket(self.sock)
        super()._tunnel()  # type: ignore[misc]
        if self.sock is not None:
            self.sock = bare  # TLS is to be wrapped around it

    def getresponse(self) -> Any:
        asked = self.sock
        response = super().getresponse()  # type: ignore[misc]
        asked.content_comes()
        return response


class _TimedSocket:
    """A socket whose answers have a deadline; for all else it is the socket."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._patience: float | None = sock.gettimeout()
        self._end: float | None = None
        """Of the head, or of the content unless more of it comes; None before the first byte."""
        self._came: int | None = None
        """Bytes of the content; None before it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def settimeout(self, seconds: float | None) -> None:
        self._patience = seconds
        self._sock.settimeout(seconds)

    def sendall(self, *arguments: Any) -> Any:
        self._end = self._came = None
        return self._sock.sendall(*arguments)

    def makefile(self, mode: str = "r", buffering: int = -1) -> Any:
        raw = _TimedReader(self, self._sock.makefile(mode, 0), ends=buffering != 0)
        return io.BufferedReader(raw) if buffering else raw

    def content_comes(self) -> None:
        """The head is read; what comes now counts for the minimum rate."""
        self._end, self._came = time.monotonic() + SECONDS, 0
        self._sock.settimeout(self._patience)

    def wait_no_longer(self) -> None:
        """Set what the next read may take.

        Raises:
            TimeoutError: when there is no time left.
        """
        now = time.monotonic()
        if self._end is None:
            self._end = now + (self._patience or SECONDS)
        left = self._end + (self._came or 0) / SLOWEST - now
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        if self._patience is None or left < self._patience:
            self._sock.settimeout(left)

    def count(self, size: int) -> None:
        """Bytes that came."""
        if self._came is not None:
            self._came += size


class _TimedReader(io.RawIOBase):
    """What an answer is read from."""

    def __init__(self, sock: _TimedSocket, raw: Any, *, ends: bool) -> None:
        self._sock, self._raw, self._ends = sock, raw, ends

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        self._sock.wait_no_longer()
        size = self._raw.readinto(buffer)
        if not size and not self._ends:  # botocore would look for "100 Continue" without end
            raise ConnectionResetError("the connection was closed")
        self._sock.count(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()

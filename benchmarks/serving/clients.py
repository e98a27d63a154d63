"""Clients that cost little: one thread looks after all of them, with prepared bytes."""

from __future__ import annotations

import heapq
import re
import selectors
import socket
import time
from collections import Counter

_RETRY_AFTER = re.compile(rb"(?i)\r\nretry-after: (\d+)")


class Crowd:
    """Clients of a service, each of which asks again as soon as it is answered.

    Args:
        port: where the service listens.
        request: what each sends on a connection of its own; the service must close it.
        clients: how many.
        patient: whether those who are told to come back later do so; else they return at once.
    """

    def __init__(self, port: int, request: bytes, clients: int, *, patient: bool = False) -> None:
        self._address, self._request, self._patient = ("127.0.0.1", port), request, patient
        self._selector = selectors.DefaultSelector()
        self._returning: list[float] = []
        self._found: Counter[str] = Counter()
        for _ in range(clients):
            self._ask()

    def answers(self, seconds: float) -> Counter[str]:
        """Answers by status within so many seconds from now."""
        self._found.clear()
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            while self._returning and self._returning[0] <= now:
                heapq.heappop(self._returning)
                self._ask()
            until = min([end, *self._returning[:1]])
            for key, _ in self._selector.select(until - now):
                self._look(key)
        return self._found.copy()

    def leave(self) -> None:
        """Hang up, whatever was asked."""
        for key in list(self._selector.get_map().values()):
            self._socket(key).close()
        self._selector.close()

    def _ask(self) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.connect_ex(self._address)
        rest = [memoryview(self._request), b""]
        self._selector.register(connection, selectors.EVENT_WRITE, rest)

    @staticmethod
    def _socket(key: selectors.SelectorKey) -> socket.socket:
        assert isinstance(key.fileobj, socket.socket)  # noqa: S101  # nosec B101
        return key.fileobj

    def _look(self, key: selectors.SelectorKey) -> None:
        connection, (rest, answer) = self._socket(key), key.data
        try:
            if rest:
                key.data[0] = rest[connection.send(rest) :]
                if not key.data[0]:
                    self._selector.modify(connection, selectors.EVENT_READ, key.data)
                return
            received = connection.recv(65536)
        except OSError:
            received = b""
        key.data[1] = answer + received
        if not received:
            self._selector.unregister(connection)
            connection.close()
            self._answered(answer)

    def _answered(self, answer: bytes) -> None:
        self._found[answer[9:12].decode() or "none"] += 1
        later = _RETRY_AFTER.search(answer)
        if later and self._patient:
            heapq.heappush(self._returning, time.monotonic() + int(later[1]))
        else:
            self._ask()

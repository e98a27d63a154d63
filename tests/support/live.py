"""The service over real sockets, its server on a thread of the test's process."""

from __future__ import annotations

import http.client
import socket
import time
from contextlib import closing, suppress
from threading import Thread

from fastapi import FastAPI

from gtrans.serving.server import bind, make_server
from gtrans.serving.settings import ServeSettings


class Live:
    """A service on a port of its own, with its server on a thread."""

    def __init__(self, app: FastAPI, settings: ServeSettings) -> None:
        self.listener = bind(settings)
        self.port = int(self.listener.getsockname()[1])
        self.server = make_server(app, settings)
        self._thread = Thread(target=self.server.run, kwargs={"sockets": [self.listener]})
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self.server.started:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        address = ("127.0.0.1", self.port)
        return socket.create_connection(address, timeout=10, source_address=(source, 0))

    def send(self, text: str | bytes) -> socket.socket:
        """A new connection that sent this."""
        connection = self.connect()
        connection.sendall(text.encode() if isinstance(text, str) else text)
        return connection

    def ask(self, text: str | bytes) -> str:
        """All that is answered to this, until the service closes the connection."""
        with self.send(text) as connection:
            return rest(connection)

    def health(self) -> int:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1)
        client.request("GET", "/healthz")
        with closing(client), client.getresponse() as answer:
            return answer.status

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()


def rest(connection: socket.socket) -> str:
    """What a connection still brings until the other side closes it."""
    received = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            received += data
    return received.decode("latin-1")

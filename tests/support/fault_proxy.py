"""An HTTP proxy that stands before a real server and, when told so, is the bad network between.

    with FaultProxy("http://127.0.0.1:9000") as proxy:
        proxy.inject(Fault(status=503, times=5))            # five requests are answered 503
        proxy.inject(Fault(cut_after=1000, path="/model"))  # a GET of it breaks after 1,000 bytes
        client_of(proxy.url)
        assert [seen.method for seen in proxy.requests] == ...

Without a fault it forwards requests and answers unchanged, the ``Host`` header too (S3 signatures
cover it). Faults wait in a list; each request takes the first one that matches its method and
path. Bodies are read whole and need a Content-Length, which is what boto3 and MLflow send.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding")


@dataclass
class Fault:
    """What happens to the next ``times`` requests that match.

    The target gets the request, unless ``status`` or ``reset`` says otherwise.
    """

    status: int = 0
    """Answer with this status instead of asking the target."""
    code: str = ""
    """S3's error code in the body of that answer."""
    lose_answer: bool = False
    """The target does the work, then the client gets ``status`` (or a reset) instead of its
    answer."""
    reset: bool = False
    """Reset the connection instead of answering."""
    cut_after: int | None = None
    """Promise the whole body, send so many bytes of it, then reset the connection."""
    flip_byte: int | None = None
    """Flip one bit of this byte of the body on its way to the client."""
    delay_s: float = 0
    """Seconds to wait before anything else."""
    times: int = 1
    method: str = ""
    """Only requests with this method; empty: any."""
    path: str = ""
    """Only requests whose path and query hold this text."""
    headed: str = ""
    """Only requests with this header."""

    def matches(self, seen: Seen) -> bool:
        return (
            self.times > 0
            and self.method in ("", seen.method)
            and self.path in seen.path
            and (not self.headed or self.headed in seen.headers)
        )


@dataclass(frozen=True)
class Seen:
    """A request that came, whatever became of it."""

    method: str
    path: str
    headers: Mapping[str, str]
    at: float
    """``time.monotonic()`` of its arrival."""


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes


NO_FAULT = Fault()


@dataclass
class FaultProxy:
    """The proxy: a context manager that listens at ``url``, a free port of this machine."""

    target: str
    url: str = ""
    dark: bool = False
    """While true, every connection is reset, as if the target were down."""
    requests: list[Seen] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> FaultProxy:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def inject(self, *faults: Fault) -> None:
        """Add faults behind those that wait already."""
        with self._lock:
            self._faults += faults

    def clear(self) -> None:
        """Forget what was seen, and the faults that wait."""
        with self._lock:
            self._faults.clear()
            self.requests.clear()

    def waiting(self) -> list[Fault]:
        """The faults that have not happened yet, or not often enough."""
        with self._lock:
            return [fault for fault in self._faults if fault.times > 0]

    def next_fault(self, seen: Seen) -> Fault:
        """Note a request and take the fault that is meant for it."""
        with self._lock:
            self.requests.append(seen)
            for fault in self._faults:
                if fault.matches(seen):
                    fault.times -= 1
                    return fault
        return NO_FAULT

    def forward(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """What the target answers; 502 when it does not."""
        connection = http.client.HTTPConnection(urlsplit(self.target).netloc, timeout=600)
        kept = {
            k: v for k, v in headers.items() if k.lower() not in (*_OF_ONE_CONNECTION, "expect")
        }
        try:
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        except (OSError, http.client.HTTPException):
            return Answer(502, [], b"")
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # answers "Expect: 100-continue" and keeps connections

    def relay(self) -> None:
        proxy = self.server.proxy
        if proxy.dark:
            self.reset()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = dict(self.headers)
        fault = proxy.next_fault(Seen(self.command, self.path, headers, time.monotonic()))
        time.sleep(fault.delay_s)
        refused = fault.status or fault.reset
        if not refused or fault.lose_answer:
            answer = proxy.forward(self.command, self.path, headers, body)
        if fault.reset or (fault.lose_answer and not fault.status):
            self.reset()
        elif refused:
            self.send(_error(fault), fault)
        else:
            self.send(answer, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = relay  # noqa: N815

    def send(self, answer: Answer, fault: Fault) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in (*_OF_ONE_CONNECTION, "content-length"):
                self.send_header(name, value)
        # A HEAD's answer has no body, but its length says what a GET would bring.
        lengths = [v for k, v in answer.headers if k.lower() == "content-length"]
        is_head = self.command == "HEAD" and lengths
        self.send_header("Content-Length", lengths[0] if is_head else str(len(answer.body)))
        self.end_headers()
        body = bytearray(b"" if self.command == "HEAD" else answer.body)
        if fault.flip_byte is not None:
            body[fault.flip_byte] ^= 1
        self.wfile.write(body[: fault.cut_after])
        if fault.cut_after is not None:
            # What was sent must arrive before the reset does, which discards it else.
            time.sleep(0.05)
            self.reset()

    def reset(self) -> None:
        """End the connection with RST, as a server that was killed or a firewall does."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        # Both files hold the socket open until they are closed.
        self.rfile.close()
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    proxy: FaultProxy
    block_on_close = False  # a client that keeps its connection must not keep us

    def shutdown_request(self, request: object) -> None:
        """Close without the polite shutdown, which would turn a reset into a normal end."""
        with contextlib.suppress(OSError):
            super().close_request(request)  # type: ignore[arg-type]

    def handle_error(self, *_: object) -> None:
        """Clients that give up or are killed are part of the tests."""


def _error(fault: Fault) -> Answer:
    text = f"<Error><Code>{fault.code}</Code><Message>injected</Message></Error>"
    return Answer(fault.status, [("Content-Type", "application/xml")], text.encode())

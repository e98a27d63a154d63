"""Servers that are not what they are taken for: web pages, other protocols, other certificates."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any

LOGIN_PAGE = b"<!doctype html><html><body>Log in<br><form></form></body></html>"


@dataclass(frozen=True)
class Answer:
    """What is answered, whatever was asked."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
ODD_ANSWERS = {
    "an empty object": Answer(body=b"{}", headers=JSON),
    "a list": Answer(body=b"[]", headers=JSON),
    "null": Answer(body=b"null", headers=JSON),
    "a number": Answer(body=b"7", headers=JSON),
    "other JSON": Answer(body=b'{"status": "ok", "runs": {"a": 1}}', headers=JSON),
    "a login page": Answer(body=LOGIN_PAGE, headers=HTML),
    "a login page called JSON": Answer(body=LOGIN_PAGE, headers=JSON),
    "a redirect to a login page": Answer(302, headers={"Location": "/login?state=CANARY"}),
    "a redirect elsewhere": Answer(307, headers={"Location": "http://127.0.0.1:9/x?t=CANARY"}),
    "JSON that is cut": Answer(body=b'{"experiment": {"name": "g', headers=JSON),
    "no JSON": Answer(body=b"OK", headers={"Content-Type": "text/plain"}),
    "bytes": Answer(body=b"\xff\xfe\x00\x01" * 9, headers=JSON),
    "garbled gzip": Answer(body=b"no gzip", headers={**JSON, "Content-Encoding": "gzip"}),
    "204": Answer(204),
    "nothing": Answer(),
    "400 as HTML": Answer(400, LOGIN_PAGE, HTML),
    "401": Answer(401, b"Unauthorized", {"WWW-Authenticate": "Basic"}),
    "403": Answer(403, b"Invalid Host header - possible DNS rebinding attack detected", HTML),
    "404": Answer(404, LOGIN_PAGE, HTML),
    "405": Answer(405, b"Method Not Allowed"),
    "501": Answer(501, b"Not Implemented"),
}
"""All of them last: waiting mends none."""


class OddServer:
    """Where it is, what was asked, and what it answers."""

    def __init__(self, answer: Answer | Callable[[str, str], Answer]) -> None:
        self.answer = answer
        self.url = ""
        self.requests: list[tuple[str, str]] = []

    def answer_to(self, method: str, path: str) -> Answer:
        self.requests.append((method, path))
        return self.answer if isinstance(self.answer, Answer) else self.answer(method, path)


@contextmanager
def answering(
    answer: Answer | Callable[[str, str], Answer], tls: ssl.SSLContext | None = None
) -> Iterator[OddServer]:
    """A server on a free port that always gives one answer, or that of a function."""
    state = OddServer(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # boto3 expects "100 Continue" before it sends a body

        def reply(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = state.answer_to(self.command, self.path)
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = reply  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with _served(ThreadingHTTPServer, Handler, tls) as port:
        state.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
        yield state


@contextmanager
def speaking(greeting: bytes) -> Iterator[str]:
    """A port of another protocol: it greets, whatever comes, and hangs up. Yields HOST:PORT."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(4096)
            self.request.sendall(greeting)

    with _served(ThreadingTCPServer, Handler, None) as port:
        yield f"127.0.0.1:{port}"


@contextmanager
def dripping(
    start: bytes, drop: bytes = b"x", pause: float = 0.01, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """A server that begins each answer alike and goes on drop by drop, until its client leaves.

    Yields its address.
    """
    stopped = threading.Event()

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                while self.request.recv(65536):
                    self.request.sendall(start)
                    while not stopped.wait(pause):
                        self.request.sendall(drop)

    with _served(ThreadingTCPServer, Handler, tls) as port:
        yield f"http{'s' if tls else ''}://127.0.0.1:{port}"
        stopped.set()


class _Quiet:
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what is tested."""


@contextmanager
def _served(kind: type, handler: type, tls: ssl.SSLContext | None) -> Iterator[int]:
    server: Any = type("Server", (_Quiet, kind), {})(("127.0.0.1", 0), handler)
    if tls:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, signed by an authority that nobody knows."""

    context: ssl.SSLContext
    authority: Path
    """PEM file to trust."""


def certificate(folder: Path, address: str = "127.0.0.1", days: int = 10) -> Certificate:
    """A fresh one for an address; with negative days it has expired so long ago."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)

    def signed(
        name: str, key: Any, issuer: str, by: Any, until: int, *extensions: Any
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=400))
            .not_valid_after(now + datetime.timedelta(days=until))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(by, hashes.SHA256())

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    identifier = x509.SubjectKeyIdentifier.from_public_key(root.public_key())
    usage = x509.KeyUsage(*[False] * 5, True, *[False] * 3)
    basic = x509.BasicConstraints(ca=True, path_length=None)
    authority = signed("Plant CA", root, "Plant CA", root, 100, basic, usage, identifier)
    named = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    origin = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    server = signed("server", own, "Plant CA", root, days, named, origin)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(authority.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + server.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return Certificate(context, folder / "ca.pem")

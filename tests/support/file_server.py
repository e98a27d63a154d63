"""An HTTP file server that breaks off, refuses and leaves things out when told so."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What the file server does to one request instead of answering it well."""

    status: int = 0
    """Answer with this status and no file."""
    cut_after: int | None = None
    """Promise everything, send so many bytes, and close the connection."""


@dataclass
class FileServer:
    """What is served, how, and what was asked for."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    """Used up one a request; afterwards all is well."""
    ranges: bool = True
    heeds_if_range: bool = True
    etags: bool = True
    lengths: bool = True
    requests: list[dict[str, str]] = field(default_factory=list)
    """Path and headers of each request, in order."""

    def serve(self, name: str, data: bytes) -> str:
        """The URL under which ``data`` is served from now on."""
        self.files[f"/{name}"] = data
        return f"{self.url}/{name}"

    def refuse(self, status: int, times: int = 1) -> None:
        """Answer the next requests with an error."""
        self.faults += [Fault(status=status)] * times

    def cut(self, after: int, times: int = 1) -> None:
        """Break off the next answers after so many bytes."""
        self.faults += [Fault(cut_after=after)] * times

    def ranges_asked(self) -> list[str | None]:
        return [request.get("Range") for request in self.requests]


@contextmanager
def file_server() -> Iterator[FileServer]:
    """A running one on a free port."""
    state = FileServer(url="")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.requests.append({"path": self.path, **self.headers})
            fault = state.faults.pop(0) if state.faults else Fault()
            data = state.files.get(self.path)
            if fault.status or data is None:
                self.send_error(fault.status or 404)
                return
            self._send(data, fault)

        def _send(self, data: bytes, fault: Fault) -> None:
            etag = f'"{hashlib.sha256(data).hexdigest()[:16]}"' if state.etags else None
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            unchanged = self.headers.get("If-Range") == etag or not state.heeds_if_range
            resumes = wanted and state.ranges and unchanged
            start = int(wanted[1]) if wanted and resumes else 0
            if start >= len(data) > 0:
                self.send_error(416)
                return
            self.send_response(206 if resumes else 200)
            if resumes:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            if etag:
                self.send_header("ETag", etag)
            if state.lengths:
                self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            end = len(data) if fault.cut_after is None else start + fault.cut_after
            self.wfile.write(data[start:end])

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that was killed or gave up is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

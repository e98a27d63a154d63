"""Real servers on free loopback ports (HTTP files with faults, moto's S3), and shortcuts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import typer.testing

from tests.support.file_server import FileServer, file_server
from tests.support.seaweed import use_s3


@pytest.fixture(scope="session", autouse=True)
def _commands_are_built_once() -> Iterator[None]:
    """A ``CliRunner`` builds all verbs anew for each call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.testing, "_get_command", cache(typer.testing._get_command))
        yield


@pytest.fixture
def quick_kubeflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiling looks for no source: kfp asks for its whole stack with each call.

    It wants its caller's name. Below pytest, with all modules loaded, each time takes 0.1 seconds.
    """

    def stack() -> list[tuple[Any, ...]]:
        return [(), (None, "", 0, sys._getframe(2).f_code.co_name)]

    monkeypatch.setattr("kfp.dsl.pipeline_task.inspect", SimpleNamespace(stack=stack))


@pytest.fixture(name="file_server")
def _file_server() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket's name; the environment points boto3 to it."""
    import boto3

    use_s3(monkeypatch, s3_endpoint)
    made = boto3.resource("s3").create_bucket(Bucket="factory")
    yield "factory"
    made.objects.all().delete()
    made.delete()


@pytest.fixture
def s3_at(monkeypatch: pytest.MonkeyPatch):
    """Point boto3 to another endpoint: ``s3_at(url)``."""
    return lambda endpoint: use_s3(monkeypatch, endpoint)


@pytest.fixture
def brief_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after half a second."""
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0.5")

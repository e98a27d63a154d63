"""A server that drips holds nobody for ever: every part of an answer has its end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError

from gtrans_core.data.fetching import download
from gtrans_core.errors import KubeflowError, StorageError, TrackingError
from gtrans_core.storage import RetryPolicy, timed
from gtrans_core.storage.s3 import S3Store
from gtrans_core.storage.timed import give_deadlines
from gtrans_core.tracking import server_check
from gtrans_core.tracking.client import TrackingAddress
from tests.support.odd_server import Answer, answering, certificate, dripping

PATIENCE = 0.1
HEAD = b"HTTP/1.1 200 OK\r\nX-Slow: "
CONTENT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
ONCE = RetryPolicy(budget_s=0.01, first_wait_s=0.01)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Short deadlines; and whatever is tested must end."""
    monkeypatch.setattr(timed, "SECONDS", PATIENCE)
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 20


def pools(**options: str) -> urllib3.PoolManager:
    found = urllib3.PoolManager(**options)
    give_deadlines(found)
    return found


def asked(url: str, of: urllib3.PoolManager | None = None) -> bytes:
    ask = (of or pools()).request
    with ask("GET", url, timeout=PATIENCE, retries=False, preload_content=False) as answer:
        return answer.read()


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 O", b"K"),
        (HEAD, b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["nothing", "a status", "a header", "headers", "continue"],
)
def test_a_head_has_the_timeout_of_the_request_in_all(start: bytes, drop: bytes):
    with dripping(start, drop) as url, pytest.raises((ReadTimeoutError, ProtocolError)):
        asked(url)


def test_so_it_is_with_tls(tmp_path: Path):
    known = certificate(tmp_path)
    with dripping(HEAD, tls=known.context) as url, pytest.raises(ReadTimeoutError):
        asked(url, pools(ca_certs=str(known.authority)))


def test_and_with_a_proxy_that_is_to_make_a_tunnel():
    with dripping(HEAD) as url:
        proxy = urllib3.ProxyManager(url)
        give_deadlines(proxy)
        with pytest.raises(HTTPError):
            asked("https://plant.example", proxy)


@pytest.mark.parametrize("start", [CONTENT, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["sized", "endless"])
def test_content_that_drips_is_given_up(start: bytes):
    with dripping(start) as url, pytest.raises(ReadTimeoutError):
        asked(url)


def test_content_with_the_least_rate_may_take_longer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timed, "SLOWEST", 1000)
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"
    with dripping(start, drop=b"x" * 100) as url:  # 10,000 bytes a second
        started = time.monotonic()
        assert len(asked(url)) == 3000
    assert time.monotonic() - started > 2 * PATIENCE


def test_a_connection_is_used_again_and_each_answer_has_its_own_time():
    many = pools()
    with answering(Answer(body=b"x" * 50_000)) as server:
        for _ in range(3):
            assert len(asked(server.url, many)) == 50_000


def test_twice_is_as_once():
    many = pools()
    kinds = dict(many.pool_classes_by_scheme)
    give_deadlines(many)
    assert many.pool_classes_by_scheme == kinds


def of_s3(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path, s3_at: Callable) -> None:
    monkeypatch.setattr("gtrans_core.storage.s3_client.READ_TIMEOUT_S", PATIENCE)
    s3_at(url)
    store = S3Store("s3://bucket", ONCE)
    with pytest.raises(StorageError, match="no answer in time"):
        store.read("f")
    store.download("f", folder / "f")


def of_a_file(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path, s3_at: Callable) -> None:
    monkeypatch.setattr(download, "READ_TIMEOUT_S", PATIENCE)
    download.download(url, folder / "f", on_progress=lambda *_: None, policy=ONCE)


def of_mlflow(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path, s3_at: Callable) -> None:
    monkeypatch.setattr(server_check, "_TIMEOUT_S", PATIENCE)
    server_check.check_server(TrackingAddress(url, "gtrans"), "gtrans-part", make=False)


def of_kubeflow(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path, s3_at: Callable) -> None:
    from gtrans.pipelines.cluster import kubeflow

    monkeypatch.setattr(kubeflow, "REQUEST_SECONDS", PATIENCE)
    monkeypatch.setenv("GTRANS_KFP_TOKEN", "a token")
    kubeflow.Kubeflow(url, "", policy=ONCE)


@pytest.mark.parametrize("client", [of_s3, of_a_file, of_mlflow, of_kubeflow])
def test_every_client_of_ours_gives_up_on_a_head_that_drips(
    client: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, s3_at: Callable
):
    with (
        dripping(HEAD) as url,
        pytest.raises((StorageError, TrackingError, KubeflowError), match=r"in time") as told,
    ):
        client(url, monkeypatch, tmp_path, s3_at)
    assert told.value.passing
    assert "\n" not in str(told.value)

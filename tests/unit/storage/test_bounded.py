"""An answer without end, or one that becomes it when it is unpacked, fills no memory."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gtrans_core.errors import KubeflowError, StorageError, TrackingError
from gtrans_core.storage import RetryPolicy, bounded, s3_bounds, timed
from gtrans_core.storage.s3 import S3Store
from gtrans_core.tracking.client import connect, import_mlflow, translate_mlflow_errors
from tests.support.odd_server import JSON, Answer, answering, dripping

MEBIBYTE = 2**20
LARGE = json.dumps({"experiment": {"name": "x" * 3 * MEBIBYTE}}).encode()
SMALL = json.dumps({"experiment": {"experiment_id": "7", "name": "x" * 300_000}}).encode()
PACKED = {**JSON, "Content-Encoding": "gzip"}


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(bounded, "TEXT_LIMIT", MEBIBYTE)


def asked(answer: Answer) -> str:
    with answering(answer) as server:
        client = connect(server.url)
        with translate_mlflow_errors(server.url, "look"):
            found = client.get_experiment_by_name("any")
    return found.name if found else ""


@pytest.mark.parametrize(
    "answer",
    [Answer(body=LARGE, headers=JSON), Answer(body=gzip.compress(LARGE), headers=PACKED)],
    ids=["plain", "packed"],
)
def test_one_that_is_too_large_is_not_read_to_its_end(answer: Answer):
    with pytest.raises(TrackingError, match="cannot look: the answer is too large; is the") as told:
        asked(answer)
    assert not told.value.passing


def test_one_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timed, "SECONDS", -1.0)
    with pytest.raises(TrackingError, match="cannot look: no answer in time") as told:
        asked(Answer(body=SMALL, headers=JSON))
    assert told.value.passing


@pytest.mark.parametrize(
    "answer",
    [Answer(body=SMALL, headers=JSON), Answer(body=gzip.compress(SMALL), headers=PACKED)],
    ids=["plain", "packed"],
)
def test_any_other_is_read_whole(answer: Answer):
    assert asked(answer) == "x" * 300_000


def test_it_is_done_once():
    from mlflow.utils import request_utils

    import_mlflow()
    adapter = request_utils.TCPKeepAliveHTTPAdapter
    import_mlflow()
    assert request_utils.TCPKeepAliveHTTPAdapter is adapter
    assert adapter.is_bounded


@pytest.mark.parametrize(
    "answer",
    [Answer(body=LARGE, headers=JSON), Answer(body=gzip.compress(LARGE), headers=PACKED)],
    ids=["plain", "packed"],
)
def test_nor_is_one_of_kubeflow(answer: Answer, monkeypatch: pytest.MonkeyPatch):
    from gtrans.pipelines.cluster.kubeflow import Kubeflow

    monkeypatch.setenv("GTRANS_KFP_TOKEN", "a token")
    with (
        answering(answer) as server,
        pytest.raises(KubeflowError, match="cannot ask for its health: the answer is too large"),
    ):
        Kubeflow(server.url, "")


XML = {"Content-Type": "application/xml", "ETag": '"e"'}
ONCE = RetryPolicy(budget_s=0.01, first_wait_s=0.01)


def listing(names: int, token: str = "") -> Answer:
    """A page of a listing, which says where the next one begins."""
    files = "".join(
        f"<Contents><Key>{token}-{i}</Key><Size>1</Size><ETag>e</ETag></Contents>"
        for i in range(names)
    )
    more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    text = f"<ListBucketResult>{more if token else ''}{files}</ListBucketResult>"
    return Answer(body=text.encode(), headers=XML)


@pytest.fixture
def s3_that_answers(s3_at: Callable[[str], None]) -> Iterator[Callable[..., S3Store]]:
    with ExitStack() as stack:

        def start(answer: Answer | Callable[[str, str], Answer]) -> S3Store:
            s3_at(stack.enter_context(answering(answer)).url)
            return S3Store("s3://bucket", ONCE)

        yield start


ENDLESS = b"<ListBucketResult>" + b"<Contents><Key>k</Key></Contents>" * 50_000


@pytest.mark.parametrize(("status", "start"), [(200, b""), (403, b"<Error>"), (503, b"<Error>")])
def test_nor_is_one_of_s3(status: int, start: bytes, s3_that_answers: Callable, tmp_path: Path):
    store = s3_that_answers(Answer(status, body=start + ENDLESS, headers=XML))
    verbs = [store.list, store.folders]
    if status != 200:  # else it is an object's content, which has a length of its own
        verbs += [lambda: store.read("f"), lambda: store.download("f", tmp_path / "f")]
    for act in verbs:
        with pytest.raises(StorageError, match="the answer is too large; is the") as told:
            act()
        assert not told.value.passing


def test_nor_a_listing_of_more_and_more_pages(
    s3_that_answers: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(s3_bounds, "MOST_NAMES", 25)
    number = itertools.count(1)
    store = s3_that_answers(lambda *_: listing(10, f"page{next(number)}"))
    with pytest.raises(StorageError, match="the answer is too large"):
        store.list()
    assert next(number) == 4


def test_nor_one_whose_pages_drip(s3_that_answers: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(timed, "SECONDS", 0.2)
    number = itertools.count(1)

    def page(*_: str) -> Answer:
        time.sleep(0.02)
        return listing(0, f"page{next(number)}")

    with pytest.raises(StorageError, match="no answer in time") as told:
        s3_that_answers(page).list()
    assert told.value.passing


def test_a_listing_of_some_pages_is_read_whole_and_each_counts_by_itself(
    s3_that_answers: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(s3_bounds, "MOST_NAMES", 25)

    def page(_: str, path: str) -> Answer:
        return listing(10) if "continuation-token" in path else listing(10, "more")

    store = s3_that_answers(page)
    assert [len(store.list()) for _ in range(3)] == [20] * 3


def test_an_object_beyond_its_announced_length_is_not_read_on(
    s3_at: Callable[[str], None], tmp_path: Path
):
    head = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 5\r\n'
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    with dripping(head, b"100000\r\n" + b"x" * 2**20 + b"\r\n") as url:
        s3_at(url)
        with pytest.raises(StorageError, match=r"1,048,576 of 5 bytes came"):
            S3Store("s3://bucket", ONCE).download("f", tmp_path / "f")
    assert not list(tmp_path.iterdir())


def test_mlflows_own_client_of_s3_has_the_same_limits(
    s3_at: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
):
    import_mlflow()
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    with answering(Answer(body=ENDLESS, headers=XML)) as server:
        s3_at(server.url)
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", server.url)
        with (
            pytest.raises(TrackingError, match=r"the answer is too large"),
            translate_mlflow_errors("http://mlflow", "look"),
        ):
            S3ArtifactRepository("s3://bucket/1").list_artifacts()

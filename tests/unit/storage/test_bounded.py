"""An answer without end, or one that becomes it when it is unpacked, fills no memory."""

from __future__ import annotations

import gzip
import json

import pytest

from gtrans_core.errors import KubeflowError, TrackingError
from gtrans_core.storage import bounded
from gtrans_core.tracking.client import connect, import_mlflow, translate_mlflow_errors
from tests.support.odd_server import JSON, Answer, answering

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
    monkeypatch.setattr(bounded, "_SECONDS", -1.0)
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

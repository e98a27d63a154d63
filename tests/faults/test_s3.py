"""Fault 12: a real S3 server behind a bad network, and one that refuses us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from gtrans_core.data.fetching.download import download
from gtrans_core.errors import StorageError
from gtrans_core.storage import RetryPolicy, s3_parts
from gtrans_core.storage.s3 import S3Store
from tests.support.fault_proxy import Fault, FaultProxy

BODY = os.urandom(500_000)
LARGE = os.urandom(12_000_000)
QUICK = RetryPolicy(budget_s=60, first_wait_s=0.01, longest_wait_s=0.02)
SHORT = RetryPolicy(budget_s=0.3, first_wait_s=0.01, longest_wait_s=0.02)


@pytest.fixture(scope="module", autouse=True)
def _small_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(s3_parts, "IN_PARTS_FROM", 6 << 20)
        patch.setattr(s3_parts, "PART", 5 << 20)
        yield


@pytest.fixture(scope="module")
def s3_bucket(s3_server) -> Iterator[str]:
    """Holds ``p/small`` and ``p/large``."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        s3_server.client().create_bucket(Bucket="faults")
        store = S3Store("s3://faults/p", QUICK)
        store.write("small", BODY)
        store.write("large", LARGE)
        yield "faults"


@pytest.fixture
def proxy(s3_server, s3_bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Between us and the server."""
    with FaultProxy(s3_server.url) as between:
        monkeypatch.setenv("AWS_ENDPOINT_URL", between.url)
        yield between


@pytest.fixture
def store(proxy: FaultProxy, s3_bucket: str) -> S3Store:
    return S3Store(f"s3://{s3_bucket}/p", QUICK)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["small", "large"])
def test_503_five_times_then_well(store, proxy, tmp_path: Path, name: str) -> None:
    proxy.inject(Fault(status=503, code="SlowDown", times=5, method="GET"))
    store.download(name, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == (BODY if name == "small" else LARGE)
    assert names_in(tmp_path) == ["f"]
    gets = [seen for seen in proxy.requests if seen.method == "GET"]
    # The large one: five times 503, the one that tells how large it is, and three parts.
    assert len(gets) == (6 if name == "small" else 9), "boto3 must not retry beside us"
    waits = [after.at - before.at for before, after in pairwise(gets[:6])]
    assert len({round(wait, 4) for wait in waits}) > 1, "waits are random"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset=True),
        Fault(cut_after=0),
        Fault(cut_after=123_456),
        Fault(flip_byte=250_000),
        Fault(status=500, code="InternalError"),
    ],
    ids=["reset", "cut-at-once", "cut-mid-body", "flipped-bit", "500"],
)
@pytest.mark.parametrize("name", ["small", "large"])
def test_what_passes_is_tried_again(store, proxy, tmp_path: Path, fault, name: str) -> None:
    # Of the large one, a part: each has a Range.
    which = {"method": "GET", "path": f"/{name}", "headed": "Range" if name == "large" else ""}
    proxy.inject(Fault(**vars(fault) | which))
    store.download(name, tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == (BODY if name == "small" else LARGE)
    assert names_in(tmp_path) == ["f"]
    assert not proxy.waiting(), "the fault did not happen"


def test_timeouts_are_tried_again(store, proxy, s3_bucket, monkeypatch) -> None:
    monkeypatch.setattr("gtrans_core.storage.s3_client.READ_TIMEOUT_S", 0.5)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # other settings, so another client
    proxy.inject(Fault(delay_s=2))
    assert S3Store(f"s3://{s3_bucket}/p", QUICK).read("small") == BODY
    assert len(proxy.requests) == 2


@pytest.mark.parametrize("name", ["small", "large"])
def test_what_lasts_leaves_no_partial_file(proxy, s3_bucket, tmp_path: Path, name: str) -> None:
    (tmp_path / "f").write_bytes(b"what was there")
    proxy.inject(Fault(cut_after=1000, times=10_000))
    store = S3Store(f"s3://{s3_bucket}/p", SHORT)
    with pytest.raises(StorageError, match="gave up after") as caught:
        store.download(name, tmp_path / "f")
    assert f"s3://{s3_bucket}/p/{name}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "f").read_bytes() == b"what was there"
    assert names_in(tmp_path) == ["f"]


@pytest.mark.parametrize(("name", "data"), [("new", BODY), ("new-large", LARGE)])
def test_conditional_writes_through_faults(store, proxy, name: str, data: bytes) -> None:
    """One writer is the first, also when its first try, or the answer to it, is lost."""
    proxy.inject(Fault(status=503, code="ServiceUnavailable"), Fault(reset=True))
    assert store.write(name, data, overwrite=False) is True
    assert store.write(name, BODY[::-1], overwrite=False) is False
    assert store.read(name) == data


def test_lost_answer_to_a_conditional_write(store, proxy) -> None:
    proxy.inject(Fault(lose_answer=True, method="PUT"))
    assert store.write("lost", BODY, overwrite=False) is True
    assert [seen.method for seen in proxy.requests] == ["PUT", "PUT", "HEAD"]
    assert store.read("lost") == BODY


def test_bytes_that_change_on_their_way_there_are_refused(store, s3_server, s3_bucket) -> None:
    """The server compares what comes with our sha256, and keeps it for those who read."""
    client = s3_server.client()
    kept = client.head_object(Bucket=s3_bucket, Key="p/small", ChecksumMode="ENABLED")
    assert kept["ChecksumSHA256"]
    with pytest.raises(client.exceptions.ClientError, match="BadDigest"):
        client.put_object(
            Bucket=s3_bucket, Key="p/x", Body=b"x", ChecksumSHA256=kept["ChecksumSHA256"]
        )


@pytest.mark.parametrize(
    ("name", "says"), [("none", "there is no such object"), ("small", "the secret key is wrong")]
)
def test_refusals_end_at_once_in_one_line(
    proxy, s3_bucket, tmp_path: Path, monkeypatch, name: str, says: str
) -> None:
    if name == "small":
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-of-somebody-else")
    store = S3Store(f"s3://{s3_bucket}/p", QUICK)
    with pytest.raises(StorageError, match=says) as caught:
        store.download(name, tmp_path / "f")
    assert len(proxy.requests) == 1, "tried again"
    assert "\n" not in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert names_in(tmp_path) == []


def test_presigned_address_works_until_it_expires(s3_server, s3_bucket, tmp_path: Path) -> None:
    """``GTRANS_MVTEC_URL`` and its like may be one."""
    client = s3_server.client()
    client.put_object(Bucket=s3_bucket, Key="a.tar", Body=BODY)
    address = {"Bucket": s3_bucket, "Key": "a.tar"}
    good, expired = (
        client.generate_presigned_url("get_object", Params=address, ExpiresIn=seconds)
        for seconds in (60, -60)
    )
    download(good, tmp_path / "good", on_progress=lambda done, total: None)
    assert (tmp_path / "good").read_bytes() == BODY
    with pytest.raises(StorageError, match="403") as caught:
        download(expired, tmp_path / "expired", on_progress=lambda done, total: None)
    assert "Signature" not in str(caught.value)
    assert "expired" not in names_in(tmp_path)

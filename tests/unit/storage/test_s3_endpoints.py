"""What is taken for an S3 endpoint and is none: one line, at once, with what to do."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gtrans_core.errors import StorageError
from gtrans_core.storage import RetryPolicy
from gtrans_core.storage.s3 import S3Store
from tests.support.odd_server import (
    HTML,
    LOGIN_PAGE,
    ODD_ANSWERS,
    Answer,
    answering,
    certificate,
    speaking,
)

PATIENT = RetryPolicy(budget_s=30, first_wait_s=0.01, longest_wait_s=0.02)
SHORT = RetryPolicy(budget_s=0.1, first_wait_s=0.01, longest_wait_s=0.02)


def verbs(store: S3Store, folder: Path) -> dict[str, Callable[[], object]]:
    return {
        "list": store.list,
        "folders": store.folders,
        "read": lambda: store.read("f"),
        "download": lambda: store.download("f", folder / "f"),
        "write": lambda: store.write("f", b"x"),
        "write once": lambda: store.write("f", b"x", overwrite=False),
        "exists": lambda: store.exists("f"),
    }


def refusals(url: str, folder: Path, but: tuple[str, ...] = ()) -> Iterator[str]:
    """What each verb says, which is never given a second try."""
    for verb, act in verbs(S3Store("s3://bucket/prefix", PATIENT), folder).items():
        if verb in but:
            continue
        with pytest.raises(StorageError) as caught:
            act()
        text = str(caught.value)
        assert text.startswith("s3://bucket/prefix/")
        assert url in text
        assert "\n" not in text
        assert "CANARY" not in text
        assert "gave up" not in text
        yield text
    assert not list(folder.iterdir())


@pytest.mark.parametrize("odd", ODD_ANSWERS)
def test_another_service_ends_it_at_once(s3_at: Callable, tmp_path: Path, odd: str) -> None:
    with answering(ODD_ANSWERS[odd]) as server:
        s3_at(server.url)
        # HEAD has no body: 404 to it may be S3's, and is "not there".
        for _ in refusals(server.url, tmp_path, ("exists",) if odd == "404" else ()):
            pass
        assert len(server.requests) < 10


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_named_with_its_target(s3_at: Callable, tmp_path: Path, status: int) -> None:
    target = {"Location": "https://me:CANARY@s3.plant/x?token=CANARY"}
    with answering(Answer(status, headers=target)) as server:
        s3_at(server.url)
        for text in refusals(server.url, tmp_path):
            assert f"it redirects to https://s3.plant/x ({status})" in text
            assert "set AWS_ENDPOINT_URL" in text


def test_a_web_page_is_no_endpoint(s3_at: Callable, tmp_path: Path) -> None:
    for page in (LOGIN_PAGE, b"<html><body>well-formed</body></html>"):
        with answering(Answer(200, page, HTML)) as server:
            s3_at(server.url)
            for text in refusals(server.url, tmp_path):
                assert "not an S3 endpoint: it answered 200 with text/html" in text


def test_a_proxy_that_is_busy_is_waited_for(s3_at: Callable, tmp_path: Path) -> None:
    for status in (429, 502, 503):
        with answering(Answer(status, LOGIN_PAGE, HTML)) as server:
            s3_at(server.url)
            with pytest.raises(StorageError, match=rf"the server answered {status}; gave up"):
                S3Store("s3://bucket", SHORT).list()


@pytest.mark.parametrize("greeting", [b"SSH-2.0-OpenSSH_9.6\r\n", b"\x00\x15\x03\x01"])
def test_a_port_of_another_protocol(s3_at: Callable, tmp_path: Path, greeting: bytes) -> None:
    with speaking(greeting) as place:
        s3_at(f"http://{place}")
        # A PUT waits for "100 Continue" first, and sees only a connection that breaks off.
        for text in refusals(place, tmp_path, ("write", "write once")):
            assert "it does not speak HTTP" in text


def test_a_port_without_tls(s3_at: Callable, tmp_path: Path) -> None:
    with speaking(b"SSH-2.0-OpenSSH_9.6\r\n") as place:
        s3_at(f"https://{place}")
        for text in refusals(place, tmp_path):
            assert "is it http:// and not https://?" in text


@pytest.mark.parametrize(
    ("made", "says"),
    [
        ({}, "not trusted; set AWS_CA_BUNDLE"),
        ({"days": -5}, "has expired"),
        ({"address": "127.0.0.2"}, "is for another name"),
    ],
)
def test_certificates(
    s3_at: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: dict, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    known = certificate(tmp_path, **made)
    with answering(Answer(403), known.context) as server:
        s3_at(server.url)
        if made:
            monkeypatch.setenv("AWS_CA_BUNDLE", str(known.authority))
        for text in refusals(server.url, tmp_path / "empty"):
            assert re.search(says, text)
        if not made:  # and the setting that is named works
            monkeypatch.setenv("AWS_CA_BUNDLE", str(known.authority))
            with pytest.raises(StorageError, match="access denied"):
                S3Store("s3://bucket", SHORT).exists("f")

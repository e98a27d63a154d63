"""What a bad S3 does to us: a server that answers each request with the next scripted fault.

What a real server can be made to do is in ``tests/faults/test_s3.py``.
"""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.storage import RetryPolicy
from gtrans_core.storage.s3 import S3Store

BODY = os.urandom(500_000)
QUICK = RetryPolicy(budget_s=10, first_wait_s=0.01, longest_wait_s=0.02)
SHORT = RetryPolicy(budget_s=0.2, first_wait_s=0.01, longest_wait_s=0.02)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Answer:
    status: int = 200
    code: str = ""
    body: bytes = BODY
    etag: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


OK = Answer()


@dataclass
class BadS3:
    url: str
    script: list[Answer] = field(default_factory=list)
    """The last answer repeats."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def store(self, policy: RetryPolicy = QUICK) -> S3Store:
        return S3Store("s3://bucket/prefix", policy)


@pytest.fixture
def bad_s3(s3_at: Callable[[str], None]) -> Iterator[BadS3]:
    state = BadS3(url="")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # boto3 expects "100 Continue" before it sends a body

        def answer(self) -> None:
            state.requests.append((self.command, self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = state.script.pop(0) if len(state.script) > 1 else state.script[0]
            body = b"" if self.command == "PUT" else answer.body
            if answer.status != 200:
                body = f"<Error><Code>{answer.code}</Code><Message>m</Message></Error>".encode()
            self.send_response(answer.status)
            self.send_header("ETag", f'"{answer.etag or md5(body)}"')
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = answer  # noqa: N815 (names of http.server)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    s3_at(state.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "fault",
    [
        Answer(etag="0" * 32),
        Answer(429, "TooManyRequests"),
        Answer(400, "RequestTimeout"),
    ],
    ids=["wrong-md5", "429", "request-timeout"],
)
def test_passing_faults_are_retried(bad_s3: BadS3, tmp_path: Path, fault: Answer) -> None:
    bad_s3.script = [fault, OK]
    bad_s3.store().download("f", tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert names_in(tmp_path) == ["f"]
    bad_s3.script = [fault, OK]
    assert bad_s3.store().read("f") == BODY


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Answer(etag="0" * 32), "md5"),
        (Answer(503, "SlowDown"), "503 SlowDown"),
    ],
    ids=["md5", "503"],
)
def test_lasting_faults_end_without_a_partial_file(
    bad_s3: BadS3, tmp_path: Path, fault: Answer, says: str
) -> None:
    (tmp_path / "f").write_bytes(b"what was there")
    bad_s3.script = [fault]
    with pytest.raises(StorageError, match=says) as caught:
        bad_s3.store(SHORT).download("f", tmp_path / "f")
    assert "s3://bucket/prefix/f" in str(caught.value)
    assert (tmp_path / "f").read_bytes() == b"what was there"
    assert names_in(tmp_path) == ["f"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Answer(403, "AccessDenied"), "access denied; the credentials need the right"),
        (Answer(403, "InvalidAccessKeyId"), "check AWS_ACCESS_KEY_ID"),
        (Answer(403, "SignatureDoesNotMatch"), "check AWS_SECRET_ACCESS_KEY"),
        (Answer(404, "NoSuchKey"), "there is no such object"),
        (Answer(404, "NoSuchBucket"), "there is no such bucket"),
        (Answer(400, "ExpiredToken"), "have expired"),
        (Answer(418, "Teapot"), "the server refused (418 Teapot)"),
    ],
    ids=lambda value: value.code if isinstance(value, Answer) else "",
)
def test_refusals_end_at_once_in_one_line(
    bad_s3: BadS3, tmp_path: Path, fault: Answer, says: str
) -> None:
    bad_s3.script = [fault]
    store = bad_s3.store()
    attempts = (
        lambda: store.read("f"),
        lambda: store.download("f", tmp_path / "f"),
        lambda: store.write("f", b""),
        lambda: store.list(),
    )
    for number, attempt in enumerate(attempts, start=1):
        with pytest.raises(StorageError) as caught:
            attempt()
        text = str(caught.value)
        assert text.startswith(f"s3://bucket/prefix/{'f' if number < 4 else ''} at {bad_s3.url}: ")
        assert says in text
        assert "\n" not in text
        assert "CANARY" not in text
        assert len(bad_s3.requests) == number, "tried again"
    assert names_in(tmp_path) == []


def test_head_says_only_403(bad_s3: BadS3) -> None:
    bad_s3.script = [Answer(403, "AccessDenied")]
    with pytest.raises(StorageError, match="access denied"):
        bad_s3.store().exists("f")


def test_no_server_at_all(s3_at: Callable[[str], None]) -> None:
    s3_at("http://127.0.0.1:9")  # the discard port: nobody listens
    with pytest.raises(StorageError, match="no connection to the endpoint; is it running"):
        S3Store("s3://bucket", SHORT).read("f")


def test_no_credentials(bad_s3: BadS3, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    bad_s3.script = [OK]
    with pytest.raises(StorageError, match="no credentials; set AWS_ACCESS_KEY_ID"):
        bad_s3.store().read("f")


def test_unusable_settings(monkeypatch: pytest.MonkeyPatch, s3_at: Callable[[str], None]) -> None:
    s3_at("no address")
    with pytest.raises(StorageError, match="AWS_ENDPOINT_URL is not a valid address"):
        S3Store("s3://bucket")
    s3_at("http://127.0.0.1:9")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match="nobody"):
        S3Store("s3://bucket")


def test_conditional_put_conflict_is_retried(bad_s3: BadS3) -> None:
    bad_s3.script = [Answer(409, "ConditionalRequestConflict"), OK]
    assert bad_s3.store().write("f", b"x", overwrite=False)
    assert [request[2].get("If-None-Match") for request in bad_s3.requests] == ["*", "*"]


@pytest.mark.parametrize("ours", [True, False])
def test_lost_answer_to_a_conditional_put(bad_s3: BadS3, ours: bool) -> None:
    """The first put got through, its answer did not: the second is told "exists", which is us."""
    sha256 = hashlib.sha256(b"x" if ours else b"another's").hexdigest()
    bad_s3.script = [
        Answer(503, "ServiceUnavailable"),
        Answer(412, "PreconditionFailed"),
        Answer(headers={"x-amz-meta-gtrans-sha256": sha256}),
    ]
    assert bad_s3.store().write("f", b"x", overwrite=False) is ours


def test_uploads_carry_their_md5(bad_s3: BadS3) -> None:
    bad_s3.script = [Answer(400, "BadDigest"), OK]
    assert bad_s3.store().write("f", b"abc")
    # RFC 1321's digest of "abc", in base64.
    assert [r[2]["Content-MD5"] for r in bad_s3.requests] == ["kAFQmDzST7DWlj99KOF/cg=="] * 2


def test_encrypted_and_multipart_etags_are_no_md5(bad_s3: BadS3) -> None:
    kms = {"x-amz-server-side-encryption": "aws:kms"}
    bad_s3.script = [Answer(etag="0" * 32, headers=kms), Answer(etag="0" * 32 + "-2")]
    assert bad_s3.store(SHORT).read("f") == BODY
    assert bad_s3.store(SHORT).read("f") == BODY


def test_full_disk_is_not_the_servers_fault(
    bad_s3: BadS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad_s3.script = [OK]

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        bad_s3.store().download("f", tmp_path / "f")
    assert len(bad_s3.requests) == 1
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("style", "path"), [("auto", "/bucket/prefix/f"), ("path", "/bucket/prefix/f")]
)
def test_path_addressing(
    bad_s3: BadS3, monkeypatch: pytest.MonkeyPatch, style: str, path: str
) -> None:
    monkeypatch.setenv("GTRANS_S3_ADDRESSING", style)
    bad_s3.script = [OK]
    bad_s3.store().read("f")
    assert bad_s3.requests[0][1] == path


def test_virtual_addressing(
    bad_s3: BadS3, monkeypatch: pytest.MonkeyPatch, s3_at: Callable[[str], None]
) -> None:
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more)
    )
    monkeypatch.setenv("GTRANS_S3_ADDRESSING", "virtual")
    s3_at(bad_s3.url.replace("127.0.0.1", "store.test"))
    bad_s3.script = [OK]
    bad_s3.store().read("f")
    _, path, headers = bad_s3.requests[0]
    assert path == "/prefix/f"
    assert headers["Host"].startswith("bucket.store.test:")


def test_unknown_addressing(bad_s3: BadS3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GTRANS_S3_ADDRESSING", "sideways")
    with pytest.raises(ConfigError, match="GTRANS_S3_ADDRESSING=sideways: expected auto, path"):
        bad_s3.store()

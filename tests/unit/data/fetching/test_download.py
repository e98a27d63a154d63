"""Downloads over a real HTTP server that resumes, breaks off, refuses, and changes its file."""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from gtrans_core.data.fetching import download as module
from gtrans_core.data.fetching.download import download
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import RetryPolicy

DATA = os.urandom(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()
QUICK = RetryPolicy(budget_s=5, first_wait_s=0.01, longest_wait_s=0.02)
SHORT = RetryPolicy(budget_s=0.2, first_wait_s=0.01, longest_wait_s=0.02)


def silent(done: int, total: int) -> None:
    pass


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "archive.tar.xz"


@pytest.mark.parametrize("lengths", [True, False])
def test_plain_download(file_server, path: Path, lengths: bool) -> None:
    file_server.lengths = lengths
    url = file_server.serve("f", DATA)
    seen: list[tuple[int, int]] = []
    digest = download(url, path, sha256=SHA256, on_progress=lambda *now: seen.append(now))
    assert digest == SHA256
    assert path.read_bytes() == DATA
    assert visible(path.parent) == [path.name]
    assert seen == sorted(seen)
    if lengths:
        assert seen[-1] == (len(DATA), len(DATA))
    assert len(seen) < 10, "a call a mebibyte, not a packet"


def test_empty_file(file_server, path: Path) -> None:
    download(file_server.serve("f", b""), path, on_progress=silent)
    assert path.read_bytes() == b""


def test_is_not_fetched_twice(file_server, path: Path) -> None:
    url = file_server.serve("f", DATA)
    for _ in range(2):
        assert download(url, path, sha256=SHA256, on_progress=silent) == SHA256
    assert download(url, path, on_progress=silent) == SHA256
    assert len(file_server.requests) == 1


def test_file_that_is_not_the_pinned_one_is_fetched_again(file_server, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"something else")
    download(file_server.serve("f", DATA), path, sha256=SHA256, on_progress=silent)
    assert path.read_bytes() == DATA


def test_resumes_where_it_broke_off(file_server, path: Path) -> None:
    url = file_server.serve("f", DATA)
    file_server.cut(1_000_000)
    file_server.cut(500_000)
    download(url, path, sha256=SHA256, on_progress=silent, policy=QUICK)
    assert path.read_bytes() == DATA
    assert file_server.ranges_asked() == [None, "bytes=1000000-", "bytes=1500000-"]


def test_resumes_after_a_restart(file_server, path: Path) -> None:
    url = file_server.serve("f", DATA)
    file_server.cut(2_000_000)
    file_server.refuse(403)
    with pytest.raises(StorageError):
        download(url, path, on_progress=silent, policy=QUICK)
    assert not path.exists()
    download(url, path, sha256=SHA256, on_progress=silent, policy=QUICK)
    assert path.read_bytes() == DATA
    assert file_server.ranges_asked()[-1] == "bytes=2000000-"


def test_killed_download_is_resumed(file_server, path: Path) -> None:
    """kill -9 in the middle: a new process goes on, it does not start again."""
    url = file_server.serve("f", DATA)
    code = (
        "import sys, os, signal; from pathlib import Path\n"
        "from gtrans_core.data.fetching.download import download\n"
        "def stop(done, total):\n"
        "    if done > 1_500_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "download(sys.argv[1], Path(sys.argv[2]), on_progress=stop)"
    )
    killed = subprocess.run([sys.executable, "-c", code, url, str(path)], check=False)
    assert killed.returncode == -9
    assert not path.exists()
    download(url, path, sha256=SHA256, on_progress=silent)
    resumed_at = int(file_server.ranges_asked()[-1].removeprefix("bytes=").rstrip("-"))
    assert resumed_at >= 1_000_000
    assert path.read_bytes() == DATA


def test_server_without_ranges_starts_again(file_server, path: Path) -> None:
    file_server.ranges = False
    url = file_server.serve("f", DATA)
    file_server.cut(1_500_000)
    download(url, path, sha256=SHA256, on_progress=silent, policy=QUICK)
    assert path.read_bytes() == DATA


def test_server_without_a_validator_is_not_trusted_to_resume(file_server, path: Path) -> None:
    file_server.etags = False
    url = file_server.serve("f", DATA)
    file_server.cut(1_500_000)
    download(url, path, sha256=SHA256, on_progress=silent, policy=QUICK)
    assert file_server.ranges_asked() == [None, None]


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("size", [3_000_000, 1_000_000, 10_000])
def test_file_that_changed_meanwhile_is_fetched_whole(
    file_server, path: Path, size: int, heeds_if_range: bool
) -> None:
    url = file_server.serve("f", DATA)
    file_server.cut(2_000_000)
    file_server.refuse(403)
    with pytest.raises(StorageError):
        download(url, path, on_progress=silent, policy=QUICK)
    file_server.serve("f", DATA[::-1][:size])
    file_server.heeds_if_range = heeds_if_range
    download(url, path, on_progress=silent, policy=QUICK)
    assert path.read_bytes() == DATA[::-1][:size]


def test_part_of_another_url_is_not_continued(file_server, path: Path) -> None:
    file_server.cut(2_000_000)
    file_server.refuse(403)
    with pytest.raises(StorageError):
        download(file_server.serve("old", DATA), path, on_progress=silent, policy=QUICK)
    download(file_server.serve("new", DATA[::-1]), path, on_progress=silent, policy=QUICK)
    assert path.read_bytes() == DATA[::-1]
    assert file_server.ranges_asked()[-1] is None


def test_many_breaks_outlast_the_budget_as_long_as_bytes_come(file_server, path: Path) -> None:
    """The budget bounds standing still, not a long download over a bad line."""
    data = os.urandom(12 << 20)
    url = file_server.serve("f", data)
    file_server.cut(1 << 20, times=11)
    no_patience = RetryPolicy(budget_s=0)
    download(url, path, on_progress=silent, policy=no_patience)
    assert path.read_bytes() == data


def test_503_then_well(file_server, path: Path) -> None:
    url = file_server.serve("f", DATA)
    file_server.refuse(503, times=2)
    file_server.refuse(429)
    download(url, path, sha256=SHA256, on_progress=silent, policy=QUICK)
    assert len(file_server.requests) == 4


@pytest.mark.parametrize("fault", ["503", "cut"])
def test_lasting_fault_ends_within_the_budget(file_server, path: Path, fault: str) -> None:
    file_server.ranges = False
    url = file_server.serve("f", DATA)
    if fault == "503":
        file_server.refuse(503, times=1000)
    else:
        file_server.cut(100_000, times=1000)
    with pytest.raises(StorageError, match=f"{url}: .*gave up after") as caught:
        download(url, path, on_progress=silent, policy=SHORT)
    assert "\n" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_refusal_ends_at_once_with_advice(file_server, path: Path, status: int) -> None:
    url = file_server.serve("f", DATA).replace("http://", "http://user:CANARY@") + "?token=CANARY"
    file_server.refuse(status)
    with pytest.raises(StorageError) as caught:
        download(url, path, on_progress=silent, advice="see the page", policy=QUICK)
    text = str(caught.value)
    assert f"{file_server.url}/f: the server answered {status}" in text
    assert text.endswith("see the page")
    assert "CANARY" not in text
    assert len(file_server.requests) == 1
    assert visible(path.parent) == []


def test_wrong_digest_deletes_the_file(file_server, path: Path) -> None:
    url = file_server.serve("f", DATA)
    with pytest.raises(DataError) as caught:
        download(url, path, sha256="0" * 64, on_progress=silent)
    assert f"has sha256 {SHA256}, expected {'0' * 64}; the file was deleted" in str(caught.value)
    assert visible(path.parent) == []


def test_no_room_is_found_before_the_first_byte(
    file_server, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match=r"needs 3,000,000 bytes and 1,000 are free"):
        download(file_server.serve("f", DATA), path, on_progress=silent)
    assert visible(path.parent) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:9/f", "no connection; gave up"),
        ("http://nowhere.invalid/f", "host name cannot be resolved; gave up"),
        ("gopher://127.0.0.1/f", "cannot be fetched; check the address"),
    ],
)
def test_no_server(path: Path, url: str, says: str) -> None:
    with pytest.raises(StorageError, match=says):
        download(url, path, on_progress=silent, policy=SHORT)


def test_silent_server_times_out(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/f"
        with pytest.raises(StorageError, match=r"no bytes in time; gave up"):
            download(url, path, on_progress=silent, policy=SHORT)


def test_two_at_once_fetch_once(file_server, path: Path) -> None:
    url = file_server.serve("f", DATA)
    start = threading.Barrier(2)

    def fetch(_: int) -> str:
        start.wait()
        return download(url, path, sha256=SHA256, on_progress=silent)

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(fetch, range(2))) == [SHA256] * 2
    assert len(file_server.requests) == 1


def test_proxy_of_the_environment(file_server, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy gets the whole address, and its own login."""
    address = "http://data.invalid/f"
    file_server.files[address] = DATA
    monkeypatch.setenv("http_proxy", file_server.url.replace("http://", "http://me:secret@"))
    monkeypatch.setenv("no_proxy", "")
    download(address, path, sha256=SHA256, on_progress=silent, policy=QUICK)
    assert file_server.requests[0]["path"] == address
    assert file_server.requests[0]["proxy-authorization"] == "Basic bWU6c2VjcmV0"

"""A real ``gtrans serve`` with 256 descriptors, and clients that never finish anything."""

from __future__ import annotations

import resource
import select
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.serving.service import Service, posted
from tests.support.images import png

pytestmark = pytest.mark.slow

DESCRIPTORS = 256
POST = "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
MEBIBYTE = 2**20


def arguments(folder: Path, detector: Path) -> tuple[str, ...]:
    return "--model", str(detector), "--store", str(folder)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, packaged_detector: Path) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("serve")
    service = Service(folder, *arguments(folder, packaged_detector), descriptors=DESCRIPTORS)
    yield service
    service.stop()


@pytest.mark.parametrize(
    "begun",
    [
        "GET /healthz HTTP/1.1\r\nHost: loc",
        "",
        f"{POST}Content-Length: 100000\r\n\r\nhalf",
        f"{POST}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf",
    ],
    ids=["heads", "silence", "bodies", "chunks"],
)
def test_300_that_never_finish_stop_nobody_and_are_closed(service: Service, begun: str):
    began = time.monotonic()
    crowd = [service.send(begun.encode()) for _ in range(300)]
    # 300 requests at once are work too, where neighbours have the processor.
    patience = 10 if begun.startswith("POST") else 1
    asked = time.monotonic()
    assert service.get("/healthz", patience)[0] == 200
    assert time.monotonic() - asked < patience
    poll = select.poll()
    for connection in crowd:
        poll.register(connection, select.POLLRDHUP)
    while len(poll.poll(0)) < len(crowd):
        assert service.get("/healthz", patience)[0] == 200
        assert time.monotonic() - began < 15
        time.sleep(0.2)
    for connection in crowd:
        connection.close()
    assert service.log.stat().st_size < 100_000
    assert "Traceback" not in service.log.read_text()


def test_five_stalled_uploads_near_the_limit_leave_room_for_others(service: Service):
    size = 31 * MEBIBYTE
    text = f"{POST}Content-Length: {size}\r\n\r\n{'x' * (size - 10)}".encode()
    stalled = []
    for _ in range(5):
        try:
            stalled.append(service.send(text))
        except OSError:  # its share was used up already
            continue
    assert service.ask(posted(png())).startswith(b"HTTP/1.1 200 ")
    for connection in stalled:
        connection.close()


def test_without_any_descriptor_left_the_log_stays_short_and_it_recovers(service: Service):
    before = service.log.stat().st_size
    pid = service.process.pid
    taken = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (taken, DESCRIPTORS))
    crowd = [service.send(b"GET ") for _ in range(20)]
    time.sleep(2.5)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    for connection in crowd:
        connection.close()
    assert service.get("/healthz", 10)[0] == 200
    assert service.log.stat().st_size - before < 10_000


def test_a_service_whose_scoring_thread_has_died_says_so_and_ends(
    tmp_path: Path, packaged_detector: Path
):
    fault = (
        "import sys, gtrans.serving.worker as w; from gtrans.cli.main import main\n"
        "def dies(self, task): raise SystemExit('out of threads')\n"
        "w.Worker._score = dies\n"
        "sys.exit(main())"
    )
    service = Service(tmp_path, *arguments(tmp_path, packaged_detector), launch=("-c", fault))
    answer = service.ask(posted(png()))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"the service can score no more" in answer
    assert service.process.wait(60) == 16
    log = service.log.read_text()
    assert "a scoring thread has ended" in log
    assert "Traceback" not in log

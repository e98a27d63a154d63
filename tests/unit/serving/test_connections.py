"""What a connection may cost: deadlines, a cap, framing, rates; over real sockets."""

from __future__ import annotations

import json
import logging
import time

import pytest

from gtrans.serving.app import create_app
from gtrans.serving.connections import OnceAMinute
from gtrans.serving.models import Models
from gtrans.serving.settings import ServeSettings
from infra.stack.ports import free_port
from tests.support.live import Live, rest
from tests.unit.serving.conftest import Shelf

HOST = "Host: localhost\r\n"
POST = f"POST /predict/bottle HTTP/1.1\r\n{HOST}Content-Type: image/png\r\n"


class TestDeadlines:
    def test_a_head_that_drips_is_cut_off_and_so_is_one_that_never_comes(self, live):
        service = live(head_seconds=1)
        silent, half = service.connect(), service.send("GET /healthz HT")
        second = service.send(f"GET /healthz HTTP/1.1\r\n{HOST}\r\n")
        assert second.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        second.sendall(b"GET /hea")
        half.settimeout(0.2)
        dripped = b""
        while not dripped:
            assert time.monotonic() - began < 5
            half.sendall(b"x")
            try:
                dripped = half.recv(65536)
            except TimeoutError:
                continue
        assert dripped.startswith(b"HTTP/1.1 408 ")
        assert rest(silent) == ""
        assert "HTTP/1.1 408 " in rest(second)
        assert time.monotonic() - began < 4

    def test_an_idle_connection_is_closed(self, live):
        idle = live(idle_seconds=1).send(f"GET /healthz HTTP/1.1\r\n{HOST}\r\n")
        began = time.monotonic()
        answer = rest(idle)
        assert answer.count("HTTP/1.1") == 1
        assert time.monotonic() - began < 5

    def test_a_body_that_nobody_asked_for_does_not_keep_a_connection(self, live):
        began = time.monotonic()
        answer = live(head_seconds=1).ask(
            f"GET /healthz HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nab"
        )
        assert answer.startswith("HTTP/1.1 200")
        assert time.monotonic() - began < 5

    def test_a_client_that_does_not_read_its_answers_is_dropped(self, live):
        service = live(write_seconds=1)
        page = f"GET / HTTP/1.1\r\n{HOST}\r\n".encode()
        lazy = service.connect()
        lazy.settimeout(0.5)
        try:
            for _ in range(100_000):
                lazy.sendall(page)
        except TimeoutError:
            pass  # it reads no more either
        until(lambda: not service.server.server_state.connections, 6)

    def test_a_body_that_stalls_or_drips_is_told(self, live, monkeypatch):
        monkeypatch.setattr("gtrans.serving.uploads._WINDOW_SECONDS", 0.3)
        service = live()
        stalled = service.send(f"{POST}Content-Length: 300000\r\n\r\n{'x' * 200_000}")
        began = time.monotonic()
        answer = rest(stalled)
        assert answer.startswith("HTTP/1.1 408 ")
        assert "slower than 16,384 bytes/s" in answer
        assert time.monotonic() - began < 3


class TestCap:
    def test_half_sent_heads_make_room_and_a_request_under_way_does_not(self, live, image):
        service = live(max_connections=10)
        working = service.send(f"{POST}Content-Length: {len(image)}\r\n\r\n".encode() + image[:9])
        crowd = [service.send("GET /healthz HT") for _ in range(40)]
        began = time.monotonic()
        assert service.health() == 200
        assert time.monotonic() - began < 1
        assert len(service.server.server_state.connections) <= 10
        assert rest(crowd[0]).startswith("HTTP/1.1 503 ")
        working.sendall(image[9:])
        assert working.recv(65536).startswith(b"HTTP/1.1 200 ")

    @pytest.mark.parametrize("posts", [POST + "Content-Length: 9\r\n\r\n", POST + HOST])
    def test_stalled_posts_leave_room_for_probes(self, live, posts):
        service = live(max_connections=10)
        crowd = [service.send(posts) for _ in range(40)]
        # Those beyond the cap may still be being turned away.
        until(lambda: service.health() == 200, 1)
        assert len(crowd) == 40

    def test_posts_beyond_half_of_the_connections_are_told_to_come_back(self, live):
        service = live(max_connections=8)
        crowd = [service.send(f"{POST}Content-Length: 9\r\n\r\n") for _ in range(4)]
        until(lambda: len(service.server.server_state.tasks) == len(crowd))
        answer = service.ask(f"{POST}Content-Length: 9\r\n\r\n")
        assert answer.startswith("HTTP/1.1 503 ")
        assert "retry-after: 1" in answer.lower()


class TestFraming:
    @pytest.mark.parametrize(
        "head",
        [
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
            "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 6\r\n",
            "Content-Length: -5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 0x5\r\n",
            "Content-Length: 5 5\r\n",
            "Content-Length: \r\n",
            f"Content-Length: {'9' * 40}\r\n",
            "Host: other\r\n",
            "X: \0\r\n",
        ],
    )
    def test_a_head_that_can_be_read_in_two_ways_is_400_and_the_connection_ends(self, shared, head):
        second = f"GET /models HTTP/1.1\r\n{HOST}\r\n"
        answer = shared.ask(f"{POST}{head}\r\n0\r\n\r\n{second}")
        assert answer.startswith("HTTP/1.1 400 ")
        assert answer.count("HTTP/1.1") == 1
        assert list(json.loads(answer.rpartition("\r\n\r\n")[2])) == ["error"]

    def test_a_head_without_end(self, shared):
        assert shared.ask(f"{POST}X: {'x' * 300_000}").startswith("HTTP/1.1 400 ")

    @pytest.mark.parametrize("chunk", ["zz\r\nab\r\n", "-1\r\nab\r\n", "2\r\nabcd\r\n", "\r\n"])
    def test_chunks_that_are_none(self, shared, chunk):
        answer = shared.ask(f"{POST}Transfer-Encoding: chunked\r\n\r\n{chunk}")
        assert answer.startswith("HTTP/1.1 400 ")
        assert answer.count("HTTP/1.1") == 1

    def test_a_body_in_crumbs(self, shared):
        answer = shared.ask(f"{POST}Transfer-Encoding: chunked\r\n\r\n" + "1\r\nx\r\n" * 5000)
        assert answer.startswith("HTTP/1.1 400 ")

    def test_chunks_to_http_1_0(self, shared):
        head = POST.replace("HTTP/1.1", "HTTP/1.0")
        answer = shared.ask(f"{head}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert answer.startswith("HTTP/1.1 400 ")

    @pytest.mark.parametrize(
        "text",
        ["", "\r\n\r\n", "HELO\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x16\x03"],
    )
    def test_what_is_no_http_ends_without_a_line_for_each_in_the_log(self, shared, caplog, text):
        for _ in range(20):
            with shared.send(f"{text}\r\n\r\n") as odd:
                assert odd.recv(65536).startswith(b"HTTP/1.1 400 ")
        assert len(caplog.records) <= 1

    def test_an_upgrade_is_passed_over(self, shared):
        head = (
            f"GET /healthz HTTP/1.1\r\n{HOST}Connection: close, upgrade\r\nUpgrade: websocket\r\n"
        )
        assert shared.ask(f"{head}\r\n").startswith("HTTP/1.1 200 ")


class TestBodies:
    @pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n"])
    def test_a_length_beyond_the_limit_is_413_at_once(self, shared, more):
        began = time.monotonic()
        with shared.send(f"{POST}{more}Content-Length: 999999999999\r\n\r\n") as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")
            assert time.monotonic() - began < 0.5
            rest(connection)
        assert time.monotonic() - began < 2

    def test_a_stalled_body_makes_room_for_another(self, live, image):
        limits = {"max_request_bytes": 200_000, "max_body_bytes": 400_000}
        service = live(**limits, client_body_bytes=400_000)
        text = f"{POST}Content-Length: 199999\r\n\r\n{'x' * 199_900}"
        stalled = [service.send(text) for _ in range(2)]
        time.sleep(1.2)
        answer = service.ask(posted(image))
        assert answer.startswith("HTTP/1.1 200 ")
        assert rest(stalled[0]).startswith("HTTP/1.1 408 ")

    def test_one_client_cannot_hold_the_room_of_all(self, live, image):
        limits = {"max_request_bytes": 200_000, "max_body_bytes": 400_000}
        service = live(**limits, client_body_bytes=200_000, refusal_seconds=0)
        text = f"{POST}Content-Length: 199999\r\n\r\n{'x' * 199_990}"
        with service.connect() as first, service.connect() as second:
            first.sendall(text.encode())
            time.sleep(0.2)
            second.sendall(text.encode())
            assert second.recv(65536).startswith(b"HTTP/1.1 503 ")
            other = service.connect("127.0.0.2")
            other.sendall(posted(image))
            assert other.recv(65536).startswith(b"HTTP/1.1 200 ")

    def test_a_refused_client_waits_a_moment(self, live, image, bottle, monkeypatch):
        service = live(refusal_seconds=0.3)
        monkeypatch.setattr("gtrans.serving.worker.Worker.full", True)
        began = time.monotonic()
        answer = service.ask(posted(image))
        assert answer.startswith("HTTP/1.1 503 ")
        assert "retry-after: 1" in answer.lower()
        assert time.monotonic() - began > 0.3


def test_like_warnings_are_logged_once_a_minute(monkeypatch):
    only = OnceAMinute()

    def passes(text: str, level: int = logging.WARNING) -> bool:
        return only.filter(logging.LogRecord("x", level, "", 0, text, None, None))

    assert passes("a\nfd=1")
    assert not passes("a\nfd=2")
    assert passes("b")
    assert passes("started", logging.INFO)
    assert passes("started", logging.INFO)
    later = time.monotonic() + 61
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert passes("a")


@pytest.fixture(scope="module")
def shared(detector):
    """One service for what needs no settings of its own."""
    settings = ServeSettings(port=free_port(), drain_seconds=1)
    service = Live(create_app(Models([Shelf("bottle", detector)]), settings), settings)
    yield service
    service.stop()


def posted(image: bytes) -> bytes:
    head = f"{POST}Connection: close\r\nContent-Length: {len(image)}\r\n\r\n"
    return head.encode() + image


def until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)

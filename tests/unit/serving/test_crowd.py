"""Whom there is no room for: told in its turn, before anything but its head is looked at."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from gtrans.serving.crowd import Crowd
from tests.unit.serving.test_connections import HOST, POST, posted, until


def crowd(seconds: float = 0.5) -> Crowd:
    return Crowd(seconds, lambda: True, lambda _path, _seconds: None)


def turns(many: int, seconds: float = 0.5) -> list[float]:
    async def take() -> list[float]:
        one = crowd(seconds)
        return [one.turn() for _ in range(many)]

    return asyncio.run(take())


def test_each_is_told_in_its_turn_and_only_so_many_a_second():
    found = turns(150)
    assert found[0] == pytest.approx(0.5, abs=0.01)
    assert found == sorted(found)
    assert found[120] - found[100] == pytest.approx(1, abs=0.01)


def test_nobody_waits_for_ever_and_where_it_is_switched_off_nobody_waits():
    assert max(turns(2000)) == pytest.approx(10, abs=0.1)
    assert turns(3, 0) == [0, 0, 0]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gtrans.serving.worker.Worker.full", True)


@pytest.mark.usefixtures("full")
class TestTurnedAway:
    @pytest.mark.parametrize("path", ["/predict/bottle", "/feedback/bottle?truth=good", "/nothing"])
    def test_whatever_it_asks_for(self, live, image, path):
        service = live(refusal_seconds=0.01)
        answer = service.ask(posted(image).replace(b"/predict/bottle", path.encode()))
        assert answer.startswith("HTTP/1.1 503 ")
        assert "retry-after: 1" in answer.lower()
        assert service.health() == 200

    def test_it_is_counted(self, serving, image):
        client = serving(refusal_seconds=0)
        for path in ("/predict/bottle", "/predict/nothing", "/predict", "/elsewhere"):
            assert client.post(path, content=image).status_code == 503
        text = client.get("/metrics").text
        assert 'gtrans_requests_total{category="bottle",status="503"} 1.0' in text
        assert 'gtrans_requests_total{category="",status="503"} 2.0' in text

    def test_a_large_body_is_not_read_before_it_is_told(self, live):
        service = live(refusal_seconds=0.2)
        with service.send(f"{POST}Content-Length: 30000000\r\n\r\nhalf") as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 503 ")

    def test_one_that_is_too_large_at_any_time_is_told_that_at_once(self, live):
        service = live(refusal_seconds=9)
        with service.send(f"{POST}Content-Length: 999999999999\r\n\r\n") as connection:
            assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")

    def test_who_asks_whether_to_send_is_not_told_to(self, live):
        service = live(refusal_seconds=0.01)
        answer = service.ask(f"{POST}Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        assert answer.startswith("HTTP/1.1 503 ")

    @pytest.mark.parametrize("much", [b"", b"x" * 500])
    def test_who_leaves_waits_no_longer(self, live, much):
        service = live(refusal_seconds=9)
        waiting = service.server.config.app.state.service.crowd
        head = f"{POST}Content-Length: 1000\r\n\r\n".encode()
        crowd = [service.send(head + much) for _ in range(3)]
        until(lambda: waiting.waiting == 3)
        for one in crowd:
            one.close()
        until(lambda: not waiting.waiting, 2)

    def test_beyond_three_quarters_of_the_connections_it_is_told_at_once(self, live):
        service = live(refusal_seconds=9, max_connections=8)
        crowd = [service.send(f"{POST}Content-Length: 9\r\n\r\n") for _ in range(6)]
        until(lambda: len(service.server.server_state.tasks) == len(crowd))
        began = time.monotonic()
        assert service.ask(f"{POST}Content-Length: 9\r\n\r\n").startswith("HTTP/1.1 503 ")
        assert service.health() == 200
        assert time.monotonic() - began < 3


def test_the_token_comes_first(serving, image, monkeypatch):
    from gtrans.serving.gate import Access

    client = serving(access=Access(token="a token of tests"), refusal_seconds=0)
    monkeypatch.setattr("gtrans.serving.worker.Worker.full", True)
    assert client.post("/predict/bottle", content=image, headers={"Host": HOST}).status_code == 401


def test_who_leaves_gives_up_the_places_of_its_images(live, image, monkeypatch):
    """Else a service would score for clients that gave up long ago, and for nobody else."""
    from gtrans.serving.worker import Worker

    begin = threading.Event()
    predict = Worker._predict

    def wait(self, task):
        begin.wait(20)
        return predict(self, task)

    monkeypatch.setattr(Worker, "_predict", wait)
    service = live(round_size=1, queue_size=8)
    worker = service.server.config.app.state.service.worker
    crowd = [service.send(posted(image)) for _ in range(5)]
    until(lambda: worker.waiting == 5)
    for one in crowd[1:]:
        one.close()
    until(lambda: worker.waiting == 1)
    begin.set()
    assert crowd[0].recv(65536).startswith(b"HTTP/1.1 200 ")
    text = service.ask(f"GET /metrics HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n")
    assert 'gtrans_requests_total{category="bottle",status="499"} 4.0' in text

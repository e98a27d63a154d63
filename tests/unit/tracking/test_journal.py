from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.errors import TrackingError
from gtrans_core.tracking.journal import JournalFlusher, _Sender, replay
from gtrans_core.tracking.runs import RunLogger
from gtrans_core.training.journal import TrainingJournal

START_MS = 1_700_000_000_000


def line(step: int, **values: float) -> str:
    return json.dumps({"step": step, "time_ms": START_MS + step, "values": values}) + "\n"


def steps_of(run: RunLogger, name: str) -> list[tuple[int, int, float]]:
    history = run.client.get_metric_history(run.run_id, name)
    return sorted((metric.step, metric.timestamp, metric.value) for metric in history)


def expected(steps: int) -> list[tuple[int, int, float]]:
    return [(step, START_MS + step, 1 / (step + 1)) for step in range(steps)]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


class TestReplay:
    def test_twice_changes_nothing(self, run, journal):
        """More than one request; values, steps and times as recorded."""
        journal.write_text("".join(line(s, loss=1 / (s + 1), lr=0.1) for s in range(700)))
        assert replay(journal, run.run_id, run.client) == 1400
        assert replay(journal, run.run_id, run.client) == 1400
        assert steps_of(run, "loss") == expected(700)
        assert len(steps_of(run, "lr")) == 700

    def test_value_that_is_no_number_is_not_doubled(self, run, journal):
        journal.write_text(line(0, loss=math.nan))
        for _ in range(2):
            replay(journal, run.run_id, run.client)
        [(_, _, value)] = steps_of(run, "loss")
        assert math.isnan(value)

    def test_half_written_line_waits(self, run, journal):
        whole = line(0, loss=1.0) + line(1, loss=0.5)
        journal.write_text(whole[:-5])
        assert replay(journal, run.run_id, run.client) == 1
        journal.write_text(whole)
        assert replay(journal, run.run_id, run.client) == 2
        assert steps_of(run, "loss") == expected(2)

    def test_no_journal_is_nothing_to_send(self, run, journal):
        assert replay(journal, run.run_id, run.client) == 0

    def test_foreign_file_is_named(self, run, journal):
        journal.write_text('{"step": "one"}\n')
        with pytest.raises(TrackingError, match=r"history\.jsonl: not a journal record: step"):
            replay(journal, run.run_id, run.client)

    def test_what_training_writes_is_what_is_read(self, run, journal):
        history = TrainingJournal(journal)
        history.append(3, {"train_loss": 0.25})
        assert replay(journal, run.run_id, run.client) == 1
        [(step, _, value)] = steps_of(run, "train_loss")
        assert (step, value) == (3, 0.25)


@given(cuts=st.lists(st.integers(0, 400), max_size=6), steps=st.integers(0, 8))
def test_any_pace_of_writing_sends_each_value_once_in_order(tmp_path_factory, cuts, steps):
    sent: list[int] = []
    client = SimpleNamespace(
        tracking_uri="recorder",
        log_batch=lambda _run, metrics: sent.extend(metric.step for metric in metrics),
    )
    path = tmp_path_factory.mktemp("pace") / "history.jsonl"
    data = "".join(line(step, loss=1.0) for step in range(steps)).encode()
    sender = _Sender(path)
    for end in [*sorted(cuts), len(data)]:
        path.write_bytes(data[:end])
        sender.send_new(RunLogger(client, "run"))
    assert sent == list(range(steps))


class TestFlusher:
    def test_sends_while_the_journal_grows(self, run, journal):
        flusher = JournalFlusher(journal, lambda: run, interval_s=0.02)
        for step in range(5):
            with journal.open("a") as file:
                file.write(line(step, loss=1 / (step + 1)))
            if step == 2:
                wait_until(lambda: len(steps_of(run, "loss")) >= 3)
        assert flusher.close(timeout_s=10)
        assert steps_of(run, "loss") == expected(5)

    def test_outage_delays_and_loses_nothing(self, run, journal):
        journal.write_text("".join(line(step, loss=1 / (step + 1)) for step in range(4)))
        failures = iter(range(3))

        def open_run() -> RunLogger:
            if next(failures, None) is not None:
                raise TrackingError("MLflow is down")
            return run

        flusher = JournalFlusher(journal, open_run, interval_s=0.01)
        wait_until(lambda: len(steps_of(run, "loss")) == 4)
        assert flusher.close(timeout_s=10)
        assert steps_of(run, "loss") == expected(4)

    def test_lasting_outage_is_told_and_mended_by_a_replay(self, run, journal):
        journal.write_text("".join(line(step, loss=1 / (step + 1)) for step in range(4)))

        def open_run() -> RunLogger:
            raise TrackingError("MLflow is down")

        assert not JournalFlusher(journal, open_run, interval_s=0.01).close(timeout_s=0.2)
        assert replay(journal, run.run_id, run.client) == 4
        assert steps_of(run, "loss") == expected(4)

    def test_closing_does_not_wait_for_a_server_that_hangs(self, journal):
        release = threading.Event()

        def open_run() -> RunLogger:
            release.wait(60)
            raise TrackingError("MLflow is down")

        flusher = JournalFlusher(journal, open_run, interval_s=0.01)
        time.sleep(0.1)
        started = time.monotonic()
        assert not flusher.close(timeout_s=0.2)
        assert time.monotonic() - started < 5
        release.set()


def wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_second_file_is_sent_too_and_one_that_is_not_there_holds_up_nothing(run, journal):
    journal.write_text(line(0, loss=1.0))
    system = journal.with_name("system.jsonl")
    system.write_text(line(0, **{"system/cpu": 30.0}))
    also = (system, journal.with_name("gone.jsonl"))
    assert JournalFlusher(journal, lambda: run, also=also).close(10)
    assert len(steps_of(run, "loss")) == 1
    assert len(steps_of(run, "system/cpu")) == 1

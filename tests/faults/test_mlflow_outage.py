"""Fault 13: whatever MLflow does while a model is trained, training goes on and nothing is lost.

A real server behind a proxy.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from mlflow.entities import Run

from gtrans_core.progress import Progress
from gtrans_core.steps import learning as step
from gtrans_core.tracking import step_run
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.journal import JournalFlusher
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.runs import TinyRun, category_runs_at, runs_at

pytestmark = pytest.mark.slow

ALWAYS = 10_000
OUTAGE_S = 15.0
EPOCHS = 6


@pytest.fixture
def run(part: Path, mlflow: FaultProxy, monkeypatch: pytest.MonkeyPatch) -> TinyRun:
    """Ingested and cached; each step waits at most a second at its end for MLflow."""
    monkeypatch.setattr(step_run, "PATIENCE_S", 0.5)
    monkeypatch.setattr(step, "FLUSH_SECONDS", 0.5)
    monkeypatch.setattr(step, "JournalFlusher", partial(JournalFlusher, interval_s=0.1))
    run = TinyRun(part, tracking_uri=mlflow.url, overrides=(f"training.epochs={EPOCHS}",))
    run.go("ingest", "cache_features")
    return run


def check_all_is_recorded_once(run: TinyRun, server: str) -> None:
    [record] = category_runs_at(server)
    assert record.info.status == "FINISHED"
    lines = (run.path("evaluation") / "history.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert [one["step"] for one in written] == list(range(1, 2 * EPOCHS + 1))
    for name in ("train_loss", "held_out_loss", "learning_rate"):
        history = connect(server).get_metric_history(record.info.run_id, name)
        assert sorted((m.step, m.value) for m in history) == [
            (one["step"], one["values"][name]) for one in written if name in one["values"]
        ]
    until(lambda: not runs_below(server, "RUNNING"))
    finished = [r.data.tags["gtrans.step"] for r in runs_below(server, "FINISHED")]
    assert len(finished) == len(set(finished)), "a step that finished twice"


def dark(proxy: FaultProxy) -> None:
    proxy.dark = True


FAULTS: dict[str, Callable[[FaultProxy], None]] = {
    "down from the start": dark,
    "500 on every write": lambda proxy: proxy.inject(Fault(500, method="POST", times=ALWAYS)),
    "answers lost": lambda proxy: proxy.inject(
        *(Fault(500, lose_answer=True, path=path) for path in ("runs/create", "log-batch") * 3)
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_ends_finished_and_each_value_is_there_once(
    run: TinyRun, mlflow: FaultProxy, mlflow_server: str, fault: str
) -> None:
    FAULTS[fault](mlflow)
    run.go("train", "evaluate")
    assert mlflow.dark or mlflow.requests
    mlflow.dark = False
    if fault != "answers lost":
        mlflow.clear()
    run.go("register")
    check_all_is_recorded_once(run, mlflow_server)


def test_down_for_a_while_in_mid_training(
    run: TinyRun, mlflow: FaultProxy, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there, goes away for four long steps, comes back: the journal catches up by itself."""
    monkeypatch.setattr(step, "JournalFlusher", partial(JournalFlusher, interval_s=1.0))
    spent: list[float] = []
    arrived: list[int] = []

    def outage(done: int, total: int) -> None:
        if done == 4:
            until(lambda: bool(values_at(mlflow_server)))
            mlflow.dark = True
        elif mlflow.dark:
            time.sleep(OUTAGE_S / 4)
        if done in (4, 8):
            spent.append(flusher_seconds())
            arrived.append(len(values_at(mlflow_server)))
        if done == 8:
            mlflow.dark = False
        if done == total:
            until(lambda: len(values_at(mlflow_server)) >= 8)

    after_each_step(monkeypatch, outage)
    run.go("train")
    assert arrived[0] == arrived[1], "MLflow was reached while it was down"
    # Steps share nothing with the journal's thread but the interpreter: what it computes is all
    # that it can take from them.
    assert spent[1] - spent[0] < 0.01 * OUTAGE_S
    run.go("evaluate", "register")
    check_all_is_recorded_once(run, mlflow_server)


def test_down_from_mid_training_until_register(
    run: TinyRun, mlflow: FaultProxy, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The outage outlasts training: half the journal is there, and register sends it all."""

    def steps_at_work() -> list[str]:
        return [r.data.tags["gtrans.step"] for r in runs_below(mlflow_server, "RUNNING")]

    def outage(done: int, total: int) -> None:
        if done == 4:
            until(lambda: bool(values_at(mlflow_server)) and steps_at_work() == ["train"])
            mlflow.dark = True

    after_each_step(monkeypatch, outage)
    run.go("train", "evaluate")
    assert 0 < len(values_at(mlflow_server)) < 2 * EPOCHS
    assert steps_at_work() == ["train"], "nobody could tell MLflow that training is over"
    mlflow.dark = False
    run.go("register")
    check_all_is_recorded_once(run, mlflow_server)


def test_answers_that_take_ten_seconds_delay_nothing(
    run: TinyRun, mlflow: FaultProxy, mlflow_server: str
) -> None:
    mlflow.inject(Fault(delay_s=10, times=ALWAYS))
    started = time.monotonic()
    run.go("train")
    assert time.monotonic() - started < 10, "training waited for MLflow"
    assert mlflow.requests, "MLflow was never asked"
    mlflow.clear()
    run.go("evaluate", "register")
    check_all_is_recorded_once(run, mlflow_server)


def after_each_step(monkeypatch: pytest.MonkeyPatch, act: Callable[[int, int], None]) -> None:
    """Have ``act(done, total)`` called within training, after each of its steps."""
    advanced = Progress.advanced

    def watched(self: Progress, what: str, done: int, total: int, note: str = "") -> None:
        advanced(self, what, done, total, note)
        if what == "steps":
            act(done, total)

    monkeypatch.setattr(Progress, "advanced", watched)


def runs_below(server: str, status: str) -> list[Run]:
    """Of single steps."""
    return [
        run
        for run in runs_at(server)
        if run.info.status == status and "mlflow.parentRunId" in run.data.tags
    ]


def flusher_seconds() -> float:
    """CPU seconds of the journal's thread so far."""
    [thread] = [t for t in threading.enumerate() if t.name == "journal-flusher"]
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def values_at(server: str) -> list[float]:
    """Losses that have arrived."""
    client = connect(server)
    found = [
        client.get_metric_history(run.info.run_id, "train_loss") for run in category_runs_at(server)
    ]
    return [metric.value for history in found for metric in history]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)

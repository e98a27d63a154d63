"""``gtrans.train`` around the embedded pipeline: what it starts, gives and raises."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import gtrans
from gtrans.pipelines.embedded import local
from gtrans.pipelines.embedded.local import LocalRun, RunOutcome, StopRequested
from gtrans_core.errors import GTransError, UnexpectedError

METRICS = {"image_auroc": 0.99, "pixel_auroc": None}


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> list[LocalRun]:
    """What was started; each run ends well."""
    started: list[LocalRun] = []

    def end(job: LocalRun) -> RunOutcome:
        report = job.folder / "made"
        report.write_text("<html>")
        results = {"evaluate": {"metrics": METRICS, "report": str(report)}}
        return RunOutcome(0, "", {**results, "register": {"version": 3}})

    ending_as(monkeypatch, end, started)
    monkeypatch.delenv("GTRANS_STORE", raising=False)
    return started


def ending_as(
    monkeypatch: pytest.MonkeyPatch,
    end: Callable[[LocalRun], RunOutcome],
    started: list[LocalRun] | None = None,
) -> None:
    def execute(job: LocalRun, on_event: Callable[[dict[str, object]], None]) -> RunOutcome:
        if started is not None:
            started.append(job)
        job.folder.mkdir(parents=True)
        on_event({"time": 0.0, "step": "ingest", "kind": "started"})
        return end(job)

    monkeypatch.setattr(local, "execute", execute)


def test_it_runs_what_gtrans_run_does_and_gives_metrics_report_and_version(
    jobs: list[LocalRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "base.toml").write_text("seed = 1\n[training]\nbatch_size = 8\nepochs = 3\n")
    result = gtrans.train(
        tmp_path / "sets",
        "flange",
        config=tmp_path / "base.toml",
        store=tmp_path / "store",
        seed=2,
        training={"epochs": 2},
        agn={"taps": (4, 8, 16)},
    )
    [job] = jobs
    assert result == gtrans.Result(
        category="flange",
        version=3,
        model="models:/gtrans-flange/3",
        metrics=METRICS,
        report=job.folder / "report.html",
    )
    assert result.report.read_text() == "<html>"
    assert job.parameters["source"] == str(tmp_path / "sets")
    assert job.parameters["store"] == str(tmp_path / "store")
    config = json.loads(job.parameters["config"])
    training = config["training"]
    assert (config["seed"], training["epochs"], training["batch_size"]) == (2, 2, 8)
    assert config["agn"]["taps"] == [4, 8, 16]
    assert "[ingest] started" in capsys.readouterr().out


def test_the_store_may_come_from_the_environment_and_nothing_need_be_shown(
    jobs: list[LocalRun],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("GTRANS_STORE", str(tmp_path / "s"))
    gtrans.train("demo", "demo", quiet=True)
    assert jobs[0].parameters["source"] == "demo"
    assert jobs[0].parameters["store"] == str(tmp_path / "s")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"training": {"epoch": 3}}, gtrans.ConfigError, "unknown key 'training.epoch'"),
        ({"training": {"epochs": 0}}, gtrans.ConfigError, "training.epochs"),
        ({"epochs": 3}, gtrans.ConfigError, "unknown key 'epochs'"),
        ({"config": "nothing"}, gtrans.ConfigError, "preset 'nothing' is not known"),
        ({"profile": "moon"}, gtrans.ConfigError, "profile 'moon' is not known"),
        ({"category": "my part"}, gtrans.DataError, "not a plain name"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    jobs: list[LocalRun],
    tmp_path: Path,
    arguments: dict[str, object],
    error: type[GTransError],
    told: str,
):
    with pytest.raises(error, match=told):
        gtrans.train("demo", **{"category": "demo", "store": tmp_path / "s", **arguments})
    assert jobs == []
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("exit_code", "kind"),
    [
        (4, gtrans.DataError),
        (7, gtrans.TrackingError),
        (9, gtrans.TrainingError),
        (75, gtrans.PreemptedError),
        (local.CRASHED, UnexpectedError),
    ],
)
def test_a_failed_step_raises_the_error_that_it_ended_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exit_code: int, kind: type[GTransError]
):
    ending_as(monkeypatch, lambda _: RunOutcome(exit_code, "a.png: truncated", {}))
    with pytest.raises(gtrans.GTransError) as error:
        gtrans.train("demo", "demo", store=tmp_path, quiet=True)
    assert type(error.value) is kind
    assert str(error.value) == "a.png: truncated"
    [note] = error.value.__notes__
    assert note.startswith(f"log: {tmp_path}/runs/")


@pytest.mark.parametrize(
    ("signal_number", "kind"), [(15, gtrans.PreemptedError), (2, KeyboardInterrupt)]
)
def test_a_stopped_run_ends_as_python_expects(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    signal_number: int,
    kind: type[BaseException],
):
    def stop(_: LocalRun) -> RunOutcome:
        raise StopRequested(signal_number)

    ending_as(monkeypatch, stop)
    with pytest.raises(kind, match="stopped by SIG"):
        gtrans.train("demo", "demo", store=tmp_path, quiet=True)


def test_another_thread_than_the_first_may_train(tmp_path: Path):
    """Python lets only the first one listen to signals."""
    outcomes: list[RunOutcome] = []
    job = LocalRun(tmp_path / "missing.yaml", {}, tmp_path / "run")
    thread = threading.Thread(target=lambda: outcomes.append(local.execute(job, print)))
    thread.start()
    thread.join()
    assert outcomes[0].exit_code == local.CRASHED

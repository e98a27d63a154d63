"""How a step ends: one line, its exit code, and a run that does not stay RUNNING."""

import gc
from pathlib import Path

import pytest

from gtrans_core.errors import DataError, PreemptedError
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.reporting import run_step
from gtrans_core.tracking.runs import open_run


@pytest.fixture
def settings(tmp_path: Path) -> RunContext:
    return RunContext("key", "part", str(tmp_path), f"sqlite:///{tmp_path}/mlflow.db", "test")


@pytest.mark.parametrize(
    ("error", "exit_code", "status"),
    [(DataError("a.png: torn"), 4, "FAILED"), (PreemptedError("stopped"), 75, "RUNNING")],
)
def test_an_error_becomes_a_line_an_exit_code_and_a_status(
    settings: RunContext,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    exit_code: int,
    status: str,
):
    run = open_run(settings.tracking, settings.run_key, settings.category)
    with pytest.raises(SystemExit) as ended, run_step("train", settings):
        raise error
    assert ended.value.code == exit_code
    assert f"[train] error: {error}\n" in capsys.readouterr().out
    assert run.client.get_run(run.run_id).info.status == status


@pytest.mark.parametrize("whole", [False, True])
def test_a_crash_marks_the_run_failed_and_says_where_it_was(
    settings: RunContext,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    whole: bool,
):
    monkeypatch.setenv("GTRANS_TRACEBACK", "1" if whole else "")
    run = open_run(settings.tracking, settings.run_key, settings.category)
    with pytest.raises(SystemExit) as ended, run_step("evaluate", settings):
        _ = 1 / 0
    assert ended.value.code == 70
    assert run.client.get_run(run.run_id).info.status == "FAILED"
    said = capsys.readouterr()
    assert "unexpected fault at reporting.py:" in said.out
    assert "(ZeroDivisionError: division by zero)" in said.out
    assert ("Traceback" in said.err) == whole


def test_a_step_that_fails_before_there_is_a_run_makes_none(settings: RunContext):
    with pytest.raises(SystemExit), run_step("ingest", settings):
        raise DataError("no such folder")
    run = open_run(settings.tracking, "another key", settings.category)
    experiment = run.client.get_run(run.run_id).info.experiment_id
    assert len(run.client.search_runs([experiment])) == 1


def test_a_step_collects_garbage_also_where_its_imports_did_not(settings: RunContext):
    gc.disable()
    try:
        with run_step("ingest", settings):
            assert gc.isenabled()
        assert gc.get_freeze_count() > 0
    finally:
        gc.enable()
        gc.unfreeze()

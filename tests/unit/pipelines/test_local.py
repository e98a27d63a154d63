"""The embedded runner against a stand-in pipeline: real kfp.local, real processes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gtrans.pipelines.embedded.local import (
    CRASHED,
    LocalRun,
    RunOutcome,
    StopRequested,
    execute,
    new_run_key,
)
from gtrans_core.steps.names import CATEGORY_STEPS

STAND_IN = """
from kfp import compiler, dsl

@dsl.component(base_image="python", install_kfp_package=False)
def step(name: str, run_key: str, behaviour: str, artifact: dsl.Output[dsl.Artifact]):
    import atexit, gc, os, signal, sys, threading, time
    from concurrent.futures import ThreadPoolExecutor
    from gtrans_core.progress import Progress
    class TakenApart:
        def __del__(self, write=os.write):
            write(1, f"{name} was taken apart\\n".encode())
    sys.kept_to_the_end = TakenApart()
    atexit.register(print, f"{name} was told of the end")
    print(f"{name} imports uncollected: {not gc.isenabled()}")
    fresh = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL and threading.active_count() == 1
    print(f"{name} is a process like any other: {fresh}, {os.environ['_KFP_RUNTIME']}")
    progress = Progress(name)
    progress.started()
    progress.advanced("things", 1, 2)
    progress.said(f"{name} of {run_key}")
    with open(artifact.path, "w") as file:
        file.write(run_key)
    if name == "train":
        if behaviour == "fail":
            progress.failed("no room", 9)
            sys.exit(9)
        if behaviour == "crash":
            raise ZeroDivisionError("a bug")
        if behaviour == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour == "hang":
            with open(os.environ["PID_FILE"], "w") as file:
                file.write(str(os.getpid()))
            time.sleep(600)
        if behaviour == "silent":
            return
    progress.finished(reused=False, pid=os.getpid(), forked_by=os.getppid())
    pool = ThreadPoolExecutor(1)
    pool.submit(lambda: (time.sleep(0.2), print(f"{name} had work left")))

@dsl.pipeline(name="stand-in")
def pipeline(behaviour: str):
    before = None
    for name in {steps!r}:
        task = step(name=name, run_key=dsl.PIPELINE_JOB_ID_PLACEHOLDER, behaviour=behaviour)
        if before:
            task.after(before)
        before = task

compiler.Compiler().compile(pipeline, {path!r})
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compiled")
    path = folder / "pipeline.yaml"
    source = folder / "stand_in.py"
    source.write_text(
        STAND_IN.replace("{steps!r}", repr(CATEGORY_STEPS)).replace("{path!r}", repr(str(path)))
    )
    subprocess.run([sys.executable, str(source)], check=True)
    return path


def run(compiled: Path, tmp_path: Path, behaviour: str) -> tuple[LocalRun, RunOutcome, list[dict]]:
    job = LocalRun(compiled, {"behaviour": behaviour}, tmp_path / "run s" / new_run_key())
    events: list[dict] = []
    return job, execute(job, events.append), events


def test_a_good_run_reports_every_step_in_order(compiled: Path, tmp_path: Path):
    job, outcome, events = run(compiled, tmp_path, "work")
    assert outcome.exit_code == 0
    assert tuple(outcome.results) == CATEGORY_STEPS
    assert [e["step"] for e in events if e["kind"] == "started"] == list(CATEGORY_STEPS)
    assert [json.loads(line) for line in job.events.read_text().splitlines()] == events
    # The placeholder of the run's id is the folder's name, not kfp.local's random number.
    artifacts = [path for path in (job.folder / "artifacts").rglob("artifact") if path.is_file()]
    assert [path.read_text() for path in artifacts] == [job.folder.name] * len(CATEGORY_STEPS)
    assert f"[train] train of {job.folder.name}" in job.log.read_text()
    # Each step is a process, and all of them are forks of one.
    assert len({results["pid"] for results in outcome.results.values()}) == len(CATEGORY_STEPS)
    assert len({results["forked_by"] for results in outcome.results.values()}) == 1
    for step in CATEGORY_STEPS:
        assert f"{step} is a process like any other: True, true" in job.log.read_text()


def test_a_step_that_ends_well_is_neither_collected_nor_taken_apart(compiled: Path, tmp_path: Path):
    """Looking for garbage while it imports, and taking apart what it did, took seconds each."""
    job, outcome, _ = run(compiled, tmp_path, "succeed")
    assert outcome.exit_code == 0
    log = job.log.read_text()
    for step in CATEGORY_STEPS:
        assert f"{step} imports uncollected: True" in log
        assert f"{step} was told of the end" in log
        assert f"{step} had work left" in log
        assert f"{step} was taken apart" not in log


def test_a_step_that_crashes_ends_as_any_python_does(compiled: Path, tmp_path: Path):
    job, _, _ = run(compiled, tmp_path, "crash")
    assert "train was told of the end" in job.log.read_text()
    assert "train was taken apart" in job.log.read_text()


def test_steps_import_this_checkout_from_any_folder(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "gtrans_core.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert run(compiled, tmp_path, "work")[1].exit_code == 0


def test_a_failed_step_gives_its_line_and_exit_code_and_ends_the_run(
    compiled: Path, tmp_path: Path
):
    _, outcome, events = run(compiled, tmp_path, "fail")
    assert (outcome.exit_code, outcome.error) == (9, "no room")
    assert list(outcome.results) == ["ingest", "cache_features"]
    assert not [e for e in events if e["step"] == "evaluate"]


def test_a_step_that_is_killed_is_a_crash_and_ends_the_run(compiled: Path, tmp_path: Path):
    job, outcome, _ = run(compiled, tmp_path, "killed")
    assert (outcome.exit_code, outcome.error) == (CRASHED, "train ended without finishing")
    assert "Killed" in job.log.read_text()


def test_a_crash_is_told_from_a_failure_and_its_traceback_is_in_the_log(
    compiled: Path, tmp_path: Path
):
    job, outcome, _ = run(compiled, tmp_path, "crash")
    assert (outcome.exit_code, outcome.error) == (CRASHED, "train ended without finishing")
    assert "ZeroDivisionError: a bug" in job.log.read_text()


def test_a_step_that_ends_well_but_reports_nothing_is_a_crash(compiled: Path, tmp_path: Path):
    _, outcome, _ = run(compiled, tmp_path, "silent")
    assert (outcome.exit_code, outcome.error) == (CRASHED, "train ended without finishing")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_process_of_the_run(
    compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    pid_file = tmp_path / "pid"
    monkeypatch.setenv("PID_FILE", str(pid_file))
    threading.Thread(target=lambda: (wait_for(pid_file), os.kill(os.getpid(), number))).start()
    before = signal.getsignal(number)
    start = time.monotonic()
    with pytest.raises(StopRequested) as stop:
        run(compiled, tmp_path, "hang")
    assert stop.value.exit_code == (75 if number == signal.SIGTERM else 128 + number)
    assert time.monotonic() - start < 25
    assert is_gone(int(pid_file.read_text()))
    assert signal.getsignal(number) is before


def test_the_run_ends_when_the_process_that_started_it_is_killed(compiled: Path, tmp_path: Path):
    pid_file = tmp_path / "pid"
    code = (
        "from pathlib import Path; from gtrans.pipelines.embedded.local import *;"
        f"execute(LocalRun(Path({str(compiled)!r}), {{'behaviour': 'hang'}},"
        f" Path({str(tmp_path / 'key')!r})), print)"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PID_FILE": str(pid_file), "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    wait_for(pid_file)
    starter.kill()
    starter.wait()
    step = int(pid_file.read_text())
    deadline = time.monotonic() + 20
    while not is_gone(step) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert is_gone(step)


def test_run_keys_differ_and_sort_by_time():
    keys = [new_run_key() for _ in range(100)]
    assert len(set(keys)) == 100
    assert [key[:15] for key in keys] == sorted(key[:15] for key in keys)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and path.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    """No such process, or one that is dead and only waits to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"

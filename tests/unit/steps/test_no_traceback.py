"""Every step, whatever the machine and the servers do to it: one line and a known exit code."""

from __future__ import annotations

import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gtrans_core.steps.context import RunContext
from gtrans_core.steps.names import ALL_STEPS
from gtrans_core.steps.reporting import run_step
from gtrans_core.storage.s3 import S3Store
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.preflight import require_record
from tests.support.odd_server import ODD_ANSWERS, answering


def full_disk() -> None:
    with Path("/dev/full").open("w") as file:
        file.write("x")
        file.flush()


def no_descriptors() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        Path("/dev/null").open().close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def no_temporary_folder() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", None)
        patch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
        tempfile.mkdtemp()


def no_right() -> None:
    raise PermissionError(13, "Permission denied", b"/store/a.json")


def missing_credentials() -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        patch.setenv("AWS_CONFIG_FILE", "/nowhere")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        S3Store("s3://bucket", endpoint="http://127.0.0.1:9").require_readable()


def odd_answer() -> None:
    with answering(ODD_ANSWERS["an empty object"]) as server:
        require_record(TrackingAddress(server.url, "gtrans"), "part")


FAULTS: dict[Callable[[], None], tuple[int, str]] = {
    full_disk: (6, "a file: the disk is full; make room"),
    no_descriptors: (6, "/dev/null: too many files are open at once; raise the limit"),
    no_temporary_folder: (6, "name another folder in TMPDIR"),
    no_right: (6, "/store/a.json: expected a file or folder that can be used here (Permission"),
    missing_credentials: (6, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    odd_answer: (7, "not that of an MLflow server"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("step", ALL_STEPS)
def test_never_a_traceback(
    step: str,
    fault: Callable[[], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.delenv("GTRANS_PROGRESS", raising=False)
    context = RunContext("key", "part", str(tmp_path), f"sqlite:///{tmp_path}/mlflow.db", "test")
    with pytest.raises(SystemExit) as ended, run_step(step, context):
        fault()
    exit_code, says = FAULTS[fault]
    assert ended.value.code == exit_code
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith(f"[{step}] error: ")
    assert says in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("step", ALL_STEPS)
def test_a_signal_ends_a_step_without_a_traceback(
    step: str, number: signal.Signals, tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    context = RunContext("key", "part", str(tmp_path), f"sqlite:///{tmp_path}/mlflow.db", "test")
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        try:
            with run_step(step, context):
                os.kill(os.getpid(), number)
                time.sleep(5)
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -number
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_progress_file_that_cannot_be_written_hides_no_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("GTRANS_PROGRESS", "/dev/full")
    context = RunContext("key", "part", str(tmp_path), f"sqlite:///{tmp_path}/mlflow.db", "test")
    with pytest.raises(SystemExit) as ended, run_step("train", context):
        full_disk()
    assert ended.value.code == 6
    assert "the disk is full" in capsys.readouterr().out

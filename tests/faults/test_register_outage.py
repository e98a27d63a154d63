"""Fault 14: MLflow fails when a model is to be registered; `gtrans register` makes up for it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app, main
from gtrans_core.detector.files import require_intact
from gtrans_core.errors import ModelError, TrackingError
from gtrans_core.storage.sealed import unsealed
from gtrans_core.tracking.client import connect
from tests.support.fault_proxy import Fault, FaultProxy
from tests.support.runs import TinyRun, category_runs_at, write_part

pytestmark = pytest.mark.slow

NOWHERE = "http://127.0.0.1:9"
"""The discard port: nobody listens."""
ALWAYS = 10_000


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """A run up to its last step, in which nothing has been recorded yet."""
    root = tmp_path_factory.mktemp("plant")
    write_part(root)
    run = TinyRun(root, tracking_uri=NOWHERE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gtrans_core.steps.learning.FLUSH_SECONDS", 0)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        run.go("ingest", "cache_features", "train", "evaluate")
    return run


def made_up_for(run: TinyRun, proxy: FaultProxy) -> Result:
    """``gtrans register --from DIR`` at a place whose MLflow is behind the proxy."""
    profile = run.root / "place.toml"
    profile.write_text(
        f'store = "{run.root}/store"\ntracking_uri = "{proxy.url}"\nunsigned_models = "allow"\n'
    )
    command = ["register", "--from", str(run.folder), "--profile", str(profile)]
    return CliRunner().invoke(app, command)


def check_it_is_registered_once(server: str) -> None:
    client = connect(server)
    [version] = client.search_model_versions("name = 'gtrans-part'")
    assert client.get_registered_model("gtrans-part").aliases == {"challenger": version.version}
    [run] = category_runs_at(server)
    assert (run.info.status, run.info.run_id) == ("FINISHED", version.run_id)


@pytest.mark.parametrize("fault", ["down", "500 on every write", "500 on the last calls"])
def test_the_task_fails_loudly_and_is_made_up_for(
    evaluated: TinyRun,
    mlflow: FaultProxy,
    mlflow_server: str,
    capsys: pytest.CaptureFixture[str],
    fault: str,
) -> None:
    run = TinyRun(evaluated.root, tracking_uri=mlflow.url)
    if fault == "down":
        mlflow.dark = True
    else:
        path = "model-versions/create" if fault == "500 on the last calls" else ""
        mlflow.inject(Fault(500, method="POST", path=path, times=ALWAYS))
    started = time.monotonic()
    with pytest.raises(SystemExit) as ended:
        run.go("register")
    assert ended.value.code == TrackingError.exit_code
    assert time.monotonic() - started < 60
    [line] = [line for line in capsys.readouterr().out.splitlines() if "error:" in line]
    assert line.endswith(
        f"; the model is kept, `gtrans register --from {run.folder}` finishes the run"
    )
    require_intact(run.path("detector"))

    mlflow.dark = False
    mlflow.clear()
    for _ in range(2):  # the second time, all is there
        result = made_up_for(run, mlflow)
        assert result.exit_code == 0, (result.output, result.exception)
        check_it_is_registered_once(mlflow_server)


def test_lost_answers_make_no_second_version(
    evaluated: TinyRun, mlflow: FaultProxy, mlflow_server: str
) -> None:
    """MLflow did what it was asked, and its client, told 500, asks again."""
    writes = ("runs/create", "logged-models", "registered-models/create", "model-versions/create")
    mlflow.inject(*(Fault(500, lose_answer=True, method="POST", path=path) for path in writes))
    result = made_up_for(evaluated, mlflow)
    assert result.exit_code == 0, (result.output, result.exception)
    check_it_is_registered_once(mlflow_server)


def flip_a_bit(run: TinyRun) -> None:
    path = run.path("detector") / "trans.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def evaluate_another(run: TinyRun) -> None:
    path = run.path("evaluation") / "record.json"
    record = json.loads(unsealed(path.read_bytes()))
    lineage = record["lineage"]
    lineage["training_key"] = "0" + lineage["training_key"]
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_bit, "trans.safetensors: its sha256 is not the one in detector.json"),
        (lambda run: (run.path("detector") / "x.json").touch(), "x.json: does not belong"),
        (evaluate_another, "detector: the evaluation beside it is of another detector"),
        (lambda run: (run.path("evaluation") / "record.json").unlink(), "record.json: cannot be"),
    ],
)
def test_what_was_kept_is_looked_at_before_it_is_registered(
    evaluated: TinyRun,
    mlflow: FaultProxy,
    tmp_path: Path,
    damage: Callable[[TinyRun], None],
    message: str,
) -> None:
    shutil.copytree(evaluated.folder, tmp_path / "runs" / "run")
    kept = TinyRun(tmp_path)
    damage(kept)
    result = made_up_for(kept, mlflow)
    assert isinstance(result.exception, ModelError)
    assert message in str(result.exception)
    assert not mlflow.requests


def test_a_folder_that_holds_no_run_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gtrans", "register", "--from", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ModelError.exit_code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/evaluation/record.json: cannot be read")
    assert error.count("\n") == 1

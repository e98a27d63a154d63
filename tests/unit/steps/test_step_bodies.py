"""Every step's own body, whatever it is handed and whatever MLflow answers: one line, one code."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gtrans.pipelines.gates import load_gate
from gtrans_core import errors
from gtrans_core.config import GTransConfig
from gtrans_core.detector.files import INFO_NAME
from gtrans_core.errors import GTransError
from gtrans_core.evaluation import record as record_files
from gtrans_core.steps.names import ALL_STEPS
from tests.support.odd_server import ODD_ANSWERS, answering
from tests.support.records import detector_info, evaluation_record
from tests.support.tiny import photos

CODES = {
    kind.exit_code
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, GTransError)
} - {70}
"""All but that of a fault that nobody foresaw."""
FILES = (
    "manifest.json",
    "train.json",
    "test.json",
    "record.json",
    "reference.json",
    "training.json",
    "detector.json",
    "history.jsonl",
    "index.json",
)
"""Names that steps read; each is given the same hostile text."""
TEXTS = {
    "nothing": None,
    "empty": "",
    "brackets": "[" * 100_000,
    "NaN": '{"threshold": NaN}',
    "a huge number": "9" * 5000,
    "an empty object": "{}",
    "a list": "[]",
    "bytes": "\udcff\udcfe",
}
KNOBS = {
    "brackets": "[" * 100_000,
    "NaN": '{"training": {"seconds": NaN}}',
    "a huge number": '{"training": {"epochs": ' + "9" * 5000 + "}}",
    "no JSON": "{",
    "a list": "[]",
    "an unknown key": '{"a": 1}',
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GTRANS_PROGRESS", "GTRANS_TRACEBACK", "MLFLOW_RUN_ID", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0")


def body(step: str) -> Callable[..., Any]:
    component = getattr(importlib.import_module(f"gtrans.components.{step}.component"), step)
    function: Callable[..., Any] = component.python_func
    return function


def arguments(step: str, folder: Path, text: str | None, **given: Any) -> dict[str, Any]:
    """What the component takes: artifacts are folders that hold ``text`` under every name."""
    plain = {
        "run_key": "key",
        "category": "part",
        "categories": [{"category": "part"}],
        "source": str(folder / "source"),
        "config": GTransConfig().to_json(),
        "gate": load_gate("part").to_json(),
        "store": str(folder / "store"),
        "tracking_uri": f"sqlite:///{folder}/mlflow.db",
        "experiment": "tests",
        "cache_store": "",
        "seed": 0,
        "epochs": 0,
        "image_size": 0,
        "effort": "",
        "data_digest": "d" * 64,
        "unsigned_models": "allow",
        "since": "30d",
        "alpha": 0.01,
        "defect_share": 0.1,
        "fail_on_drift": True,
        **given,
    }
    found: dict[str, Any] = {}
    for name in inspect.signature(body(step)).parameters:
        if name in plain:
            found[name] = plain[name]
            continue
        place = folder / name
        if text is not None:
            place.mkdir()
            for file in FILES:
                (place / file).write_text(text, errors="surrogateescape")
        found[name] = SimpleNamespace(path=str(place), metadata={}, log_metric=lambda *_: None)
    return found


def ends(step: str, given: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        body(step)(**given)
    said = capsys.readouterr()
    lines = [line for line in said.out.splitlines() if " error: " in line]
    assert ended.value.code in CODES, said.out
    assert len(lines) == 1, said.out
    assert lines[0].startswith(f"[{step}")
    assert len(lines[0]) < 1000
    assert "Traceback" not in said.out + said.err


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("step", sorted(set(ALL_STEPS) - {"summarize"}))
def test_hostile_files(
    step: str, text: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    ends(step, arguments(step, tmp_path, text), capsys)


@pytest.mark.parametrize("knob", ["config", "gate"])
@pytest.mark.parametrize("text", KNOBS.values(), ids=KNOBS)
@pytest.mark.parametrize("step", ["ingest", "cache_features", "train", "evaluate", "register"])
def test_hostile_parameters(
    step: str, text: str, knob: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    given = arguments(step, tmp_path, "{}")
    if knob not in given:
        pytest.skip("the step has no such parameter")
    ends(step, given | {knob: text}, capsys)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What step evaluate leaves behind, of a detector without weights."""
    detector = tmp_path_factory.mktemp("detector")
    info = detector_info()
    (detector / INFO_NAME).write_text(info.to_json())
    folder = tmp_path_factory.mktemp("evaluated")
    record = evaluation_record(lineage={"training_key": info.training_key, "run_key": "key"})
    record.write(folder)
    manifest = photos(folder / "photos", 1)
    for name in (record_files.TRAIN_MANIFEST, record_files.TEST_MANIFEST):
        manifest.write(folder / name)
    (folder / record_files.HISTORY).touch()
    (folder / record_files.REPORT).touch()
    return {
        "detector": SimpleNamespace(path=str(detector)),
        "evaluation": SimpleNamespace(path=str(folder)),
    }


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_odd_answers_of_mlflow_to_register(
    answer: str, evaluated: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    with answering(ODD_ANSWERS[answer]) as server:
        given = arguments("register", tmp_path, None, tracking_uri=server.url)
        ends("register", given | evaluated, capsys)


@pytest.mark.parametrize("answer", ODD_ANSWERS)
@pytest.mark.parametrize("step", ["ingest", "check_drift", "summarize"])
def test_odd_answers_of_mlflow(
    step: str, answer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "source").mkdir()
    with answering(ODD_ANSWERS[answer]) as server:
        ends(step, arguments(step, tmp_path, None, tracking_uri=server.url), capsys)

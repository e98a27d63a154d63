"""A run that changes nothing: what is kept is used, and what belongs to the run is made anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest

from gtrans_core.data.kinds import FEEDBACK_PREFIX
from gtrans_core.evaluation.gate import Gate
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.steps import judging, kept, learning
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.registry import model
from tests.support import runs
from tests.support.runs import OPEN_GATE, TinyRun, category_runs_at

CENTRE = {"evaluate": "judged.json", "train": "training.json"}
"""A file of what each step keeps."""


@pytest.fixture
def first(finished_run: TinyRun) -> TinyRun:
    return finished_run


def noted(do: Callable[..., Any], done: list[str]) -> Callable[..., Any]:
    def call(*given: Any) -> Any:
        done.append(do.__name__)
        return do(*given)

    return call


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The costly parts that are done, by name."""
    done: list[str] = []
    for module, name in ((learning, "learn"), (judging, "judge"), (model, "package")):
        monkeypatch.setattr(module, name, noted(getattr(module, name), done))
    return done


def again(first: TinyRun, key: str, *steps: str) -> TinyRun:
    run = TinyRun(first.root, key)
    run.go(*(steps or ("ingest", "cache_features", "train", "evaluate")))
    return run


def files_of(run: Any) -> list[str]:
    folder = Path(url2pathname(urlsplit(run.info.artifact_uri).path))
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def models_of(run: Any) -> list[str]:
    return [output.model_id for output in run.outputs.model_outputs]


def facts(run: TinyRun) -> dict[str, str]:
    return EvaluationRecord.read(run.path("evaluation")).lineage


def test_nothing_is_learnt_or_judged_again_and_the_run_is_one_of_its_own(
    first: TinyRun, work: list[str], capsys: pytest.CaptureFixture[str]
):
    second = again(first, "second", *runs.STEPS)
    assert work == []
    said = capsys.readouterr().out
    assert "[evaluate] evaluation reused" in said
    assert "[train] training reused: all " in said
    assert "[cache_features] feature cache reused: 11 images, verified" in said
    for folder in ("detector", "evaluation/figures"):
        ours, theirs = second.path(folder), first.path(folder)
        names = sorted(path.name for path in theirs.iterdir())
        assert sorted(path.name for path in ours.iterdir()) == names
        assert all((ours / n).read_bytes() == (theirs / n).read_bytes() for n in names)
    records = [EvaluationRecord.read(run.path("evaluation")) for run in (first, second)]
    changes = {"lineage": records[0].lineage, "training_seconds": records[0].training_seconds}
    assert records[1].model_copy(update=changes) == records[0]
    assert records[1].training_seconds is None
    assert facts(second)["run_key"] == "second"
    assert "second" in second.path("report.html").read_text()
    recorded = category_runs_at(first.settings.tracking_uri)
    logged = {run.data.tags["gtrans.run_key"]: run for run in recorded}
    ours, theirs = logged["second"], logged["first"]
    assert ours.info.status == "FINISHED"
    assert ours.data.metrics.keys() == theirs.data.metrics.keys() - {"training_seconds"}
    assert ours.data.tags["gtrans.registered_version"] == "1"
    assert files_of(ours) == files_of(theirs)
    assert models_of(ours) == models_of(theirs)
    client = connect(first.settings.tracking_uri)
    client.delete_registered_model("gtrans-part")
    again(first, "third", *runs.STEPS)
    assert work == ["package"], "what is not registered is logged"


def test_the_gate_is_that_of_today(
    first: TinyRun, work: list[str], monkeypatch: pytest.MonkeyPatch
):
    strict = OPEN_GATE.model_copy(update={"minimum_test_images": 1000})
    monkeypatch.setattr(runs, "OPEN_GATE", Gate.from_json(strict.to_json()))
    assert "Not ready" not in first.path("report.html").read_text()
    report = again(first, "strict").path("report.html").read_text()
    assert work == []
    assert "Not ready" in report


@pytest.mark.parametrize("damaged", ["evaluate", "train"])
def test_what_is_damaged_is_made_again(
    damaged: str, first: TinyRun, work: list[str], capsys: pytest.CaptureFixture[str]
):
    for path in (first.root / "store" / "kept" / damaged).rglob(CENTRE[damaged]):
        path.write_bytes(path.read_bytes() + b" ")
    second = again(first, f"damaged-{damaged}")
    assert work == [{"evaluate": "judge", "train": "learn"}[damaged]]
    assert f"[{damaged}] kept results damaged, set aside: " in capsys.readouterr().out
    digests = [(run.path("detector") / "detector.json").read_bytes() for run in (first, second)]
    assert digests[0] == digests[1]
    again(first, f"mended-{damaged}")
    assert len(work) == 1


def test_other_code_judges_anew(first: TinyRun, work: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept, "code_digest", lambda: "other code")
    again(first, "code")
    assert work == ["learn", "judge"]


def test_another_knob_judges_anew(first: TinyRun, work: list[str]):
    run = TinyRun(first.root, "knob", overrides=("evaluation.examples_per_defect=2",))
    run.go("ingest", "cache_features", "train", "evaluate")
    assert "judge" in work


def test_images_from_feedback_are_counted(tmp_path: Path, first: TinyRun, work: list[str]):
    shutil.copytree(first.root, tmp_path / "plant")
    moved = TinyRun(tmp_path / "plant", "feedback")
    folder = tmp_path / "plant" / "data" / "part" / "test" / "good"
    (folder / f"{FEEDBACK_PREFIX}1.png").write_bytes((folder / "000.png").read_bytes())
    moved.go("ingest", "cache_features", "train", "evaluate")
    assert work[-1] == "judge"
    assert "Of 1 test image from feedback" in moved.path("report.html").read_text()

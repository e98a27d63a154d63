"""Few good images: trained all the same, and what cannot be promised is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gtrans_core.detector.detector import Detector
from gtrans_core.detector.promise import Promise
from gtrans_core.evaluation.record import EvaluationRecord
from tests.support.runs import TinyRun, category_runs_at, write_part

STRICT = "evaluation.false_alarm_rate=0.05"


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """Eleven images, where a rate of 5 % needs nineteen."""
    root = tmp_path_factory.mktemp("few")
    write_part(root)
    run = TinyRun(root, overrides=(STRICT, "evaluation.perturbed_images=2"))
    run.go()
    return run


def test_every_image_is_learnt_from_and_sets_the_threshold(few: TinyRun):
    detector = Detector.load(few.path("detector"))
    rate = 1 / 12
    promise = Promise(how="cross_fitted", images=11, folds=11, rate=rate, wanted=0.05, needed=19)
    assert detector.info.promise == promise
    scores = detector.info.held_out_scores
    assert len(scores) == 11
    assert detector.info.threshold == max(scores)
    trained = json.loads((few.path("model") / "training.json").read_text())
    assert (trained["trained_on"], trained["held_out"]) == (11, [])
    record = EvaluationRecord.read(few.path("evaluation"))
    assert (record.promise, record.false_alarm_rate, record.held_out) == (promise, rate, 11)


def test_their_scores_are_not_those_of_the_model_that_saw_them(few: TinyRun):
    detector = Detector.load(few.path("detector"))
    paths = sorted((few.root / "data" / "part" / "train" / "good").iterdir())
    seen = [p.score for p in detector.predict_bytes([path.read_bytes() for path in paths])]
    assert min(detector.info.held_out_scores) > max(seen)


def test_the_report_says_what_is_promised(few: TinyRun):
    report = few.path("report.html").read_text().replace("\u00a0", " ")
    assert "each of the 11 good images was scored by a model fitted without it" in report
    assert "11 good images can promise a false-alarm rate of 8.33 % at best; 5 % needs 19" in report
    assert "false alarms expected: at most 8.33 %" in report


def test_other_light_and_position_are_tried_on_the_test_images(few: TinyRun):
    """Good images that were learnt from would say nothing."""
    tried = EvaluationRecord.read(few.path("evaluation")).robustness
    assert tried is not None
    assert (tried.good, tried.defective, tried.promised) == (2, 2, 1 / 12)
    [logged] = category_runs_at(few.settings.tracking_uri)
    assert logged.data.metrics["changes_not_borne"] == len(tried.not_borne)
    assert "<h2>Light and position</h2>" in few.path("report.html").read_text()


def test_the_same_bits_again(few: TinyRun, tmp_path: Path):
    before = (few.path("detector") / "detector.json").read_bytes()
    shutil.rmtree(few.path("detector"))
    shutil.rmtree(few.root / "store" / "kept" / "evaluate")
    few.go("evaluate")
    assert (few.path("detector") / "detector.json").read_bytes() == before


def test_where_enough_are_held_out_nothing_is_said_of_it(tmp_path: Path):
    write_part(tmp_path)
    run = TinyRun(tmp_path, overrides=("training.calibration=held_out",))
    run.go("ingest", "cache_features", "train", "evaluate")
    facts = json.loads((run.path("detector") / "detector.json").read_text())
    assert "promise" not in facts
    assert len(facts["held_out_scores"]) == 2
    assert "cross-fitted" not in run.path("report.html").read_text()

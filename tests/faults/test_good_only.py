"""Good parts only: a run ends well, promises what it can, and does not become champion."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gtrans_core.errors import GateError
from gtrans_core.evaluation.gate import UNTESTED
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.promotion.promotion import promote
from tests.support.runs import CATEGORY, OPEN_GATE, TinyRun, category_runs_at, write_part


def only_train(part: Path) -> None:
    shutil.rmtree(part / "test")
    shutil.rmtree(part / "ground_truth")


def good_test_images_too(part: Path) -> None:
    shutil.rmtree(part / "test" / "dent")
    shutil.rmtree(part / "ground_truth")


def flat(part: Path) -> None:
    shutil.move(part / "train" / "good", part.parent / "moved")
    shutil.rmtree(part)
    shutil.move(part.parent / "moved", part)


@pytest.mark.parametrize("spoil", [only_train, good_test_images_too, flat])
def test_it_is_trained_and_registered_and_waits_for_defects(tmp_path: Path, spoil) -> None:
    spoil(write_part(tmp_path))
    run = TinyRun(tmp_path)
    run.go()
    record = EvaluationRecord.read(run.path("evaluation"))
    assert set(record.metrics.values()) == {None}
    good = 2 if spoil is good_test_images_too else 0
    assert (record.good_images, record.test_images) == (good, good)
    numbers = {
        "threshold",
        "training_seconds",
        *(["false_alarms", "false_alarms_observed"] if good else []),
    }
    assert set(record.numbers()) == numbers
    report = run.path("report.html").read_text()
    assert "Nothing is known about misses" in report
    assert "No defective image was tested" in report
    assert ("No good test image" in report) == (not good)
    [logged] = category_runs_at(run.settings.tracking.server_uri)
    assert numbers <= set(logged.data.metrics)
    assert "image_auroc" not in logged.data.metrics
    client = connect(run.settings.tracking.server_uri)
    with pytest.raises(GateError, match="no defective image was tested"):
        promote(client, CATEGORY, OPEN_GATE)
    version = client.get_model_version(f"gtrans-{CATEGORY}", "1")
    assert json.loads(version.tags["gtrans.gate.verdict"])["reasons"] == [UNTESTED]

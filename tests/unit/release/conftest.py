from __future__ import annotations

import pytest

from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.release.facts import Approval, ReleaseFacts, Split
from tests.support.records import evaluation_record

RECORD = evaluation_record(
    category="bottle",
    metrics={"image_auroc": 0.97, "pixel_auroc": None},
    per_defect=(
        DefectResult(defect="dent", images=12, caught=9, image_auroc=0.9, au_pro_30=0.8),
        DefectResult(defect="odd|name", images=8, caught=8, image_auroc=1.0, au_pro_30=None),
    ),
    threshold=0.512345678,
    config={"agn.backbone": "resnet18", "image.size": 256, "image.crop": None},
    lineage={
        "git_sha": "abc",
        "agn_weights_sha256": "e" * 64,
        "image_digest": f"sha256:{'9' * 64}",
        "package.torch": "2.13",
    },
)


@pytest.fixture
def facts() -> ReleaseFacts:
    return ReleaseFacts(
        version=3,
        run_id="run1",
        detector_digest="f" * 64,
        files={"detector.json": "0" * 64, "trans.safetensors": "1" * 64},
        splits=(
            Split("training", "aaa", "mvtec", {"images": 209, "good": 209}),
            Split("testing", "bbb", "mvtec", {"images": 50, "good": 30, "dent": 12}),
        ),
        record=RECORD,
        approval=Approval(
            number=7,
            who="ada",
            when="2026-01-31T12:00:00+00:00",
            why="new lamp",
            previous=2,
            gate={"verdict": "passed", "checks": ["image_auroc 0.97"]},
        ),
        report=b"<html>",
        signature=b"{}",
    )

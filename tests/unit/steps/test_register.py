"""What the register step writes on a version is what the gate reads from it."""

from __future__ import annotations

import math

import pytest

from gtrans.pipelines.gates import load_gate
from gtrans_core.errors import ConfigError
from gtrans_core.evaluation.evaluation import DefectResult
from gtrans_core.evaluation.gate import Check, Verdict
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.register import _version_tags, in_words, register
from gtrans_core.tracking.promotion.verdicts import Judgement
from gtrans_core.tracking.registry.evidence import evidence_of
from gtrans_core.tracking.runs import prefixed
from tests.support.records import evaluation_record

RECORD = evaluation_record(
    metrics={"image_auroc": 0.97, "pixel_auroc": None},
    per_defect=(
        DefectResult(defect="dent", images=12, caught=9, image_auroc=0.9, au_pro_30=0.8),
        DefectResult(defect="odd name", images=8, caught=8, image_auroc=1.0, au_pro_30=None),
    ),
    lineage={"data_digest": "d" * 64, "git_sha": "abc"},
)


def test_evidence_survives_the_registry():
    evidence = evidence_of(prefixed(_version_tags(RECORD)))
    assert evidence == RECORD.evidence()
    assert len(_version_tags(RECORD)) == 2
    assert evidence.test_images == 50
    assert evidence.metrics["defect/dent/caught"] == 0.75
    assert evidence.defects == ["dent", "odd name"]


@pytest.mark.parametrize(
    ("unsigned", "message"),
    [("refuse", "GTRANS_SIGNING_KEY names no private key"), ("maybe", "expected refuse or allow")],
)
def test_without_a_key_it_stops_before_it_reads_or_writes_anything(tmp_path, unsigned, message):
    settings = RunContext("r1", "bottle", str(tmp_path), "http://127.0.0.1:1", "lab")
    with pytest.raises(ConfigError, match=message):
        register(settings, load_gate().to_json(), unsigned, tmp_path / "none", tmp_path / "none")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_number_stays_one(value: float):
    record = RECORD.model_copy(update={"metrics": {"image_auroc": value}})
    found = evidence_of(prefixed(_version_tags(record))).metrics["image_auroc"]
    assert str(found) == str(value)


@pytest.mark.parametrize(
    ("judgement", "words"),
    [
        (Judgement(3, None, Verdict(())), "passed (no champion yet)"),
        (Judgement(3, 2, Verdict(())), "passed (compared with version 2)"),
        (Judgement(3, 3, Verdict(())), "is the champion"),
        (Judgement(3, 2, Verdict((Check(False, "a"), Check(False, "b")))), "refused: a; b"),
    ],
)
def test_the_verdictin_words(judgement: Judgement, words: str):
    assert in_words(judgement) == words

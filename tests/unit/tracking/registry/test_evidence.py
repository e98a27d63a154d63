"""The numbers that the gate looks at: one tag now, a tag each in versions of before."""

from __future__ import annotations

import math

import pytest

from gtrans_core.evaluation.gate import Evidence
from gtrans_core.tracking.registry.evidence import EVIDENCE_TAG, evidence_of, evidence_tags


def test_what_is_written_is_read():
    evidence = Evidence("d" * 64, 80, {"image_auroc": 0.9876543, "defect/dent/caught": 1.0})
    tags = evidence_tags(evidence)
    assert set(tags) == {"gtrans.data_digest", "gtrans.evidence"}
    metrics = {"image_auroc": 0.987654, "defect/dent/caught": 1.0}
    assert evidence_of(tags) == Evidence("d" * 64, 80, metrics)


def test_the_tags_of_an_earlier_release_are_read():
    tags = {
        "gtrans.data_digest": "d" * 64,
        "gtrans.test_images": "80",
        "gtrans.metric.image_auroc": "0.990000",
        "gtrans.metric.defect/dent/caught": "high",
    }
    found = evidence_of(tags)
    assert (found.data_digest, found.test_images) == ("d" * 64, 80)
    assert found.metrics["image_auroc"] == 0.99
    assert math.isnan(found.metrics["defect/dent/caught"])


def test_the_new_tag_counts_where_there_are_both():
    tags = evidence_tags(Evidence("d" * 64, 80, {"image_auroc": 0.9}))
    assert evidence_of({**tags, "gtrans.metric.image_auroc": "1.0"}).metrics == {"image_auroc": 0.9}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"metrics": {}}', '{"metrics": 3, "x": 1}', "null"]
)
def test_what_is_damaged_is_not_known(text: str):
    assert evidence_of({EVIDENCE_TAG: text}) == Evidence("", None, {})


@pytest.mark.parametrize(
    "number", ["9" * 400, "-" + "9" * 400, "1e400", "[" * 100 + "]" * 100, "{}", "[0.9]", '"9e999"']
)
@pytest.mark.parametrize("key", ["test_images", "metrics"])
def test_whatever_stands_where_a_number_belongs_is_none(key: str, number: str):
    told = {"test_images": "80", "metrics": '{"a": 0.5}'}
    told[key] = number if key == "test_images" else f'{{"a": {number}}}'
    text = ", ".join(f'"{name}": {value}' for name, value in told.items())
    found = evidence_of({EVIDENCE_TAG: f"{{{text}}}"})
    assert found.test_images in (None, 80)
    assert not any(map(math.isfinite, found.metrics.values())) or key == "test_images"
    earlier = {"gtrans.test_images": number, "gtrans.metric.a": number}
    found = evidence_of(earlier)
    assert found.test_images is None
    assert not any(map(math.isfinite, found.metrics.values()))


def test_a_number_that_is_none_stays_one():
    tags = {EVIDENCE_TAG: '{"test_images": -3, "metrics": {"a": NaN, "b": null, "c": "x"}}'}
    found = evidence_of(tags)
    assert found.test_images is None
    assert all(math.isnan(value) for value in found.metrics.values())

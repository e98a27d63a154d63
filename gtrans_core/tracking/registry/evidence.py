"""What a registered version keeps for the gate: the numbers of its evaluation, in one tag.

Versions of before 0.3 have a tag for each metric; they are read as well. All else that is known
of a version is in ``record.json`` of its run.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from gtrans_core.evaluation.gate import Evidence
from gtrans_core.storage.documents import parse_json
from gtrans_core.tracking.runs import DATA_DIGEST_TAG, PREFIX

EVIDENCE_TAG = PREFIX + "evidence"
"""JSON: ``test_images`` and ``metrics``."""
_METRIC_TAG = PREFIX + "metric."
_TEST_IMAGES_TAG = PREFIX + "test_images"
_DIGITS = 6
_MOST_DIGITS = 19
"""More than any count has."""


def evidence_tags(evidence: Evidence) -> dict[str, str]:
    """The tags that ``evidence_of`` reads."""
    metrics = {
        name: round(value, _DIGITS) if math.isfinite(value) else str(value)
        for name, value in evidence.metrics.items()
    }
    told = {"test_images": evidence.test_images, "metrics": metrics}
    return {DATA_DIGEST_TAG: evidence.data_digest, EVIDENCE_TAG: json.dumps(told)}


def evidence_of(tags: Mapping[str, str]) -> Evidence:
    """What the tags of a version say; what is missing or no number stays so."""
    digest = tags.get(DATA_DIGEST_TAG, "")
    if EVIDENCE_TAG not in tags:
        return Evidence(digest, *_of_earlier_tags(tags))
    try:
        told = parse_json(tags[EVIDENCE_TAG])
        metrics = {str(name): _number(value) for name, value in told["metrics"].items()}
        return Evidence(digest, _count(str(told["test_images"])), metrics)
    except (ValueError, LookupError, TypeError, AttributeError):
        return Evidence(digest, None, {})


def _of_earlier_tags(tags: Mapping[str, str]) -> tuple[int | None, dict[str, float]]:
    metrics = {
        tag.removeprefix(_METRIC_TAG): _number(value)
        for tag, value in tags.items()
        if tag.startswith(_METRIC_TAG)
    }
    return _count(tags.get(_TEST_IMAGES_TAG, "")), metrics


def _count(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else None


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan

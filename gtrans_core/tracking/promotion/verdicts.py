"""What the gate said of a version, as the version's tags keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gtrans_core.evaluation.gate import Check, Gate, Verdict
from gtrans_core.storage.documents import parse_json
from gtrans_core.tracking.client import set_version_tag
from gtrans_core.tracking.promotion.ledger import Move, told, utc_now
from gtrans_core.tracking.runs import PREFIX

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

GATE_TAG = PREFIX + "gate"
"""``passed`` or ``refused``."""
VERDICT_TAG = GATE_TAG + ".verdict"
"""JSON: reasons, every check, the champion of then, the thresholds, when."""
_EARLIER_GATE_TAGS = ("reasons", "evidence", "champion", "thresholds", "judged")
"""What versions of before 0.3 have for the latter, after ``gtrans.gate.``."""
_GATE_SAID = "; gate "
"""Begins the end of a version's description."""


@dataclass(frozen=True)
class Judgement:
    """A verdict on a version, against the champion of that moment (None: there was none)."""

    version: int
    champion: int | None
    verdict: Verdict


def unsigned(category: str, version: int) -> Check:
    """Against a version without signed metrics, where the champion's are signed."""
    return Check(
        False,
        "evidence: the champion's metrics are signed, and these are tags that anybody can "
        f"write: `gtrans sign {category} --version {version}` vouches for them",
    )


def undone_before(move: Move) -> Check:
    """Against a version that this move rolled back."""
    text = f"it was rolled back ({told(move)}; why: {move.why or 'not said'})"
    return Check(False, f"{text}: say --again to promote it all the same")


def write_verdict(client: MlflowClient, name: str, judgement: Judgement, gate: Gate) -> None:
    """Write verdict and evidence as tags of the version."""
    tags = {GATE_TAG: _word(judgement), VERDICT_TAG: _as_json(judgement, gate)}
    for tag, value in tags.items():
        set_version_tag(client, name, judgement.version, tag, value)


def describe(client: MlflowClient, name: str, version: MlflowVersion, judgement: Judgement) -> None:
    """End the version's description with the verdict; drop what an earlier release said."""
    number = str(judgement.version)
    about = (version.description or "").partition(_GATE_SAID)[0]
    if about:
        said = f"{about}{_GATE_SAID}{_word(judgement)}"
        client.update_model_version(name, number, said)
    for earlier in _EARLIER_GATE_TAGS:
        if f"{GATE_TAG}.{earlier}" in version.tags:
            client.delete_model_version_tag(name, number, f"{GATE_TAG}.{earlier}")


def gate_said(tags: Mapping[str, str]) -> dict[str, Any]:
    """What the gate said of a version: verdict, checks, thresholds, champion of then, when."""
    if VERDICT_TAG in tags:
        told_now: dict[str, Any] = parse_json(tags[VERDICT_TAG])
    else:
        earlier = {name: tags.get(f"{GATE_TAG}.{name}") for name in _EARLIER_GATE_TAGS}
        told_now = {name: value for name, value in earlier.items() if value is not None}
        for name in ("evidence", "thresholds"):
            if name in told_now:
                told_now[name] = parse_json(told_now[name])
    return {
        "verdict": tags.get(GATE_TAG, "unknown"),
        "checks": told_now.get("evidence", []),
        "thresholds": told_now.get("thresholds", {}),
        "against": told_now.get("champion", "unknown"),
        "judged": told_now.get("judged", "unknown"),
    }


def _as_json(judgement: Judgement, gate: Gate) -> str:
    verdict = judgement.verdict
    return json.dumps(
        {
            "reasons": verdict.reasons,
            "evidence": [check.text for check in verdict.checks],
            "champion": str(judgement.champion or "none"),
            "thresholds": gate.model_dump(mode="json"),
            "judged": utc_now(),
        }
    )


def _word(judgement: Judgement) -> str:
    return "passed" if judgement.verdict.passed else "refused"

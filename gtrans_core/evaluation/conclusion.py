"""What a person should make of an evaluation: the verdict in a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gtrans_core.evaluation.gate import Verdict
from gtrans_core.evaluation.record import EvaluationRecord

State = Literal["ready", "not_ready", "not_tested"]


@dataclass(frozen=True)
class Conclusion:
    """Whether a detector may be used, as far as its own evaluation says.

    Attributes:
        state: in one word.
        sentence: in a line that begins with it.
    """

    state: State
    sentence: str


def conclude(record: EvaluationRecord, verdict: Verdict) -> Conclusion:
    """The verdict in words.

    Args:
        record: of the evaluation.
        verdict: of the gate without a champion, who is known only to the registry.
    """
    if not record.defective_images:
        return Conclusion(
            "not_tested", "Not tested on defects: nobody has measured whether it finds any"
        )
    if verdict.passed:
        return Conclusion("ready", "Ready: it passes every floor of the gate")
    return Conclusion("not_ready", f"Not ready: {'; '.join(verdict.plain_reasons)}")

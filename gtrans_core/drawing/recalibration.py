"""The page of a version that only got a new threshold: what moved, and what that does."""

from __future__ import annotations

from dataclasses import dataclass

from gtrans_core.drawing.pages import page_environment
from gtrans_core.evaluation.record import EvaluationRecord


@dataclass(frozen=True)
class RecalibrationData:
    """Everything the page says.

    Attributes:
        category: what is inspected.
        base: the version whose networks these are.
        created: UTC time, ISO 8601.
        source: where the new threshold comes from, as a sentence.
        before: the evaluation of the version.
        after: the same with the new threshold.
        base_report: file name of the version's own report, beside this page.
    """

    category: str
    base: int
    created: str
    source: str
    before: EvaluationRecord
    after: EvaluationRecord
    base_report: str


def render_recalibration(data: RecalibrationData) -> str:
    """The page as HTML: styles inline, no script, nothing fetched from elsewhere."""
    environment = page_environment()
    kinds = [
        (kind.defect, kind.images, kind.caught, now.caught)
        for kind, now in zip(data.before.per_defect, data.after.per_defect, strict=True)
    ]
    return environment.get_template("recalibration.html").render(data=data, kinds=kinds)

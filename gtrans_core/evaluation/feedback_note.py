"""How a new model judges the images that people corrected an earlier one on."""

from __future__ import annotations

from pathlib import PurePosixPath

from gtrans_core.data.kinds import FEEDBACK_PREFIX
from gtrans_core.evaluation.evaluation import Evaluation


def feedback_note(evaluation: Evaluation, threshold: float) -> str:
    """A sentence on the test images that ``gtrans feedback --to`` exported; empty without any."""
    right = [
        (score > threshold) != sample.is_good
        for sample, score in zip(evaluation.samples, evaluation.scores, strict=True)
        if PurePosixPath(sample.path).name.startswith(FEEDBACK_PREFIX)
    ]
    if not right:
        return ""
    images = "image" if len(right) == 1 else "images"
    return f"Of {len(right)} test {images} from feedback, {sum(right)} are judged right now."

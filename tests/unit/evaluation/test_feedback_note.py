"""The report counts how a model judges images that people corrected an earlier one on."""

from __future__ import annotations

import numpy as np

from gtrans_core.data.manifest import Sample
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.feedback_note import feedback_note


def scored(*images: tuple[str, str, float]) -> Evaluation:
    """Path, kind and score of each image."""
    samples = tuple(
        Sample(path=path, sha256=f"{i:064x}", defect=kind, width=8, height=8)
        for i, (path, kind, _) in enumerate(images)
    )
    count = len(images)
    views, maps = np.zeros((count, 3, 8, 8), np.uint8), np.zeros((count, 8, 8), np.float32)
    return Evaluation(samples, views, maps, np.array([score for *_, score in images]), None)


def test_only_images_from_feedback_are_counted():
    evaluation = scored(
        ("test/good/feedback-aa.png", "good", 0.5),
        ("test/good/feedback-bb.png", "good", 1.5),
        ("test/dent/feedback-cc.png", "dent", 1.5),
        ("test/dent/000.png", "dent", 0.5),
    )
    assert feedback_note(evaluation, 1.0) == (
        "Of 3 test images from feedback, 2 are judged right now."
    )


def test_without_any_nothing_is_said():
    assert feedback_note(scored(("test/good/0.png", "good", 0.5)), 1.0) == ""

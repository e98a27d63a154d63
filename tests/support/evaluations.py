"""A scored test split without a network, for tests of what follows from scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from gtrans_core.data.manifest import Sample
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.image_table import ImageResult

SIDE = 8


def evaluation(kinds: list[str], scores: list[float], masks: np.ndarray | None) -> Evaluation:
    """An image a kind; its score is also the first pixel of its heat map, which is 0 elsewhere."""
    samples = tuple(
        Sample(
            path=f"test/{kind}/{i}.png", sha256=f"{i:064x}", defect=kind, width=SIDE, height=SIDE
        )
        for i, kind in enumerate(kinds)
    )
    count = len(kinds)
    maps = np.zeros((count, SIDE, SIDE), np.float32)
    maps[:, 0, 0] = scores
    views = np.zeros((count, 3, SIDE, SIDE), np.uint8)
    return Evaluation(samples, views, maps, np.array(scores), masks)


def masks_of(*marked: int, count: int) -> np.ndarray:
    """Masks of ``count`` images; those marked have the first pixel defective."""
    masks = np.zeros((count, SIDE, SIDE), bool)
    masks[list(marked), 0, 0] = True
    return masks


def image_result(**facts: Any) -> ImageResult:
    """The row of an image; verdict, label and path follow from score and kind, unless named."""
    kind, score = facts.get("kind", "dent"), facts.get("score", 0.5)
    threshold = facts.get("threshold", 1.0)
    sound = {
        "path": f"test/{kind}/0.png",
        "sha256": "0" * 64,
        "kind": kind,
        "label": "good" if kind == "good" else "defective",
        "score": score,
        "threshold": threshold,
        "verdict": "flagged" if score > threshold else "ok",
        "area_above": 0.25,
        "peak_x": 10,
        "peak_y": 20,
        "regions": 2,
        "defect_area": None if kind == "good" else 0.05,
    }
    return ImageResult(**{**sound, **facts})

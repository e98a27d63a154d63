"""What is read of a good image that a threshold comes from, without torch."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from gtrans_core.config import GTransConfig
from gtrans_core.detector.engine import Engine


def reading(
    engine: Engine, view_3HW: npt.NDArray[np.uint8], config: GTransConfig
) -> tuple[float, float]:
    """An image's score, and what it would be if it were read from the heat map."""
    map_HW, score = engine.score_view(view_3HW)
    pixels_P = map_HW.ravel()
    scoring = config.scoring
    if scoring.image_score == "max":
        return score, float(pixels_P.max())
    pixels = config.image.scored_pixels or len(pixels_P)
    count = max(1, math.ceil(pixels * scoring.top_percent / 100))
    return score, float(np.partition(pixels_P, -count)[-count:].mean(dtype=np.float64))

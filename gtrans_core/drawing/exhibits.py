"""One test image as the report shows it: WebP pictures, and outlines as paths of SVG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gtrans_core.drawing.canvas import finite
from gtrans_core.drawing.heat_maps import Mask
from gtrans_core.drawing.layers import contour_path, heat_layer, view_layer
from gtrans_core.drawing.shown import Exhibit
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.image_table import ImageResult


def make_exhibits(
    evaluation: Evaluation,
    results: Sequence[ImageResult],
    positions: Iterable[int],
    map_level: float,
) -> tuple[Exhibit, ...]:
    """Exhibits of the images at these positions of the split, in that order.

    Args:
        evaluation: the scored split.
        results: a row for each of its images, in its order.
        positions: which ones.
        map_level: heat-map value from which on a pixel is unusual; the contour is there.

    Raises:
        ValueError: when a heat map is not finite, or the level is not above 0.
    """
    if not map_level > 0:
        raise ValueError(f"map level {map_level}: expected more than 0")
    return tuple(_exhibit(evaluation, results[i], i, map_level) for i in positions)


def _exhibit(evaluation: Evaluation, result: ImageResult, at: int, map_level: float) -> Exhibit:
    view, heat_map = evaluation.views[at], evaluation.maps[at]
    sample = evaluation.samples[at]
    mask: Mask | None = evaluation.mask(at)
    return Exhibit(
        result=result,
        shape=(heat_map.shape[0], heat_map.shape[1]),
        aspect=sample.width / sample.height,
        image=view_layer(view),
        heat=heat_layer(heat_map, map_level),
        contour=contour_path(finite(result.path, heat_map), map_level),
        outline="" if mask is None else contour_path(mask.astype(np.float64), 0.5),
    )

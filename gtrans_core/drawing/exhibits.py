"""One test image as the report shows it: WebP pictures, and outlines as paths of SVG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.path import Path as Outline
from PIL import Image

from gtrans_core.drawing.canvas import finite, new_figure
from gtrans_core.drawing.heat_maps import HeatMap, Mask, heat_of
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.image_table import ImageResult

_HEAT_SIDE = 128
"""A heat map is smooth: more pixels show nothing more."""
_QUALITY = 75


@dataclass(frozen=True)
class Exhibit:
    """One image and what the detector made of it.

    Attributes:
        result: name, kind, score and verdict.
        shape: height and width of the network's view, whose pixels contour and outline count.
        aspect: width over height of the part as the camera saw it.
        image: WebP of the network's view.
        heat: WebP of the heat map; the colder, the more transparent.
        contour: SVG path around all that is unusual; empty where nothing is.
        outline: SVG path around the true defect; empty where nobody drew it.
    """

    result: ImageResult
    shape: tuple[int, int]
    aspect: float
    image: bytes
    heat: bytes
    contour: str
    outline: str


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
    mask: Mask | None = None if evaluation.masks is None else evaluation.masks[at]
    return Exhibit(
        result=result,
        shape=(heat_map.shape[0], heat_map.shape[1]),
        aspect=sample.width / sample.height,
        image=_webp(Image.fromarray(np.ascontiguousarray(view.transpose(1, 2, 0)))),
        heat=_heat(heat_map, map_level),
        contour=contour_path(finite(result.path, heat_map), map_level),
        outline="" if mask is None else contour_path(mask.astype(np.float64), 0.5),
    )


def contour_path(values: npt.NDArray[np.float64], level: float) -> str:
    """The contour of a map [H, W] as an SVG path, closed at the border; empty where all is below.

    Pixel (row, column) has its middle at (column + 0.5, row + 0.5).
    """
    if not (values > level).any():
        return ""
    framed = np.pad(values, 1, constant_values=min(0.0, float(values.min())))
    axes = new_figure(1, 1).subplots()
    drawn = axes.contour(framed, levels=[level])
    return "".join(_as_svg(outline) for outline in drawn.get_paths())


def _as_svg(outline: Outline) -> str:
    parts = []
    for polygon in outline.to_polygons(closed_only=False):
        points = np.asarray(polygon, np.float64)
        kept = points[:: 2 if len(points) > 16 else 1] - 0.5
        parts.append("M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in kept) + "Z")
    return "".join(parts)


def _heat(heat_map: HeatMap, map_level: float) -> bytes:
    heat = heat_of(heat_map, (0.0, 2 * map_level))
    colours = colormaps["plasma"](heat)
    colours[..., 3] = 0.9 * np.sqrt(heat)
    picture = Image.fromarray(np.rint(255 * colours).astype(np.uint8))
    picture.thumbnail((_HEAT_SIDE, _HEAT_SIDE), Image.Resampling.BILINEAR, reducing_gap=None)
    return _webp(picture)


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, alpha_quality=_QUALITY, method=4)
    return buffer.getvalue()

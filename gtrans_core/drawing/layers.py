"""A heat map as layers over the image it belongs to: WebP with transparency, outlines as SVG."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.path import Path as Outline
from PIL import Image

from gtrans_core.drawing.canvas import new_figure
from gtrans_core.drawing.heat_maps import HeatMap, heat_of

_HEAT_SIDE = 128
"""A heat map is smooth: more pixels show nothing more."""
_QUALITY = 75
_LEGEND_STEPS = 256


def view_layer(view: npt.NDArray[np.uint8]) -> bytes:
    """WebP of what the network sees, uint8 [3, H, W]."""
    return _webp(Image.fromarray(np.ascontiguousarray(view.transpose(1, 2, 0))))


def heat_layer(heat_map: HeatMap, map_level: float) -> bytes:
    """WebP of a heat map [H, W]; the colder, the more transparent.

    Args:
        heat_map: raw scores of pixels.
        map_level: value from which on a pixel is unusual; twice as much is drawn hottest.

    Raises:
        ValueError: when a value is not finite, or the level is not above 0.
    """
    heat = heat_of(heat_map, (0.0, 2 * map_level))
    colours = colormaps["plasma"](heat)
    colours[..., 3] = 0.9 * np.sqrt(heat)
    picture = Image.fromarray(np.rint(255 * colours).astype(np.uint8))
    picture.thumbnail((_HEAT_SIDE, _HEAT_SIDE), Image.Resampling.BILINEAR, reducing_gap=None)
    return _webp(picture)


def legend() -> bytes:
    """WebP of one row: the colours of a heat map, from the coldest to the hottest."""
    colours = colormaps["plasma"](np.linspace(0, 1, _LEGEND_STEPS))[None, :, :3]
    return _webp(Image.fromarray(np.rint(255 * colours).astype(np.uint8)))


def contour_path(values: npt.NDArray[np.floating], level: float) -> str:
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


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, alpha_quality=_QUALITY, method=4)
    return buffer.getvalue()

"""What a request may ask for beside verdicts: a picture of the heat map, or its layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtrans_core.data.images import encode_png
from gtrans_core.detector.detector import Detector, Prediction


@dataclass(frozen=True)
class Asked:
    """What a request wants for each of its images.

    Attributes:
        heat_map: a PNG of the image under its heat map.
        layers: what a page needs to lay the heat map over the image itself.
        trial: that the score stays out of the record for ``gtrans drift``.
    """

    heat_map: bool = False
    layers: bool = False
    trial: bool = False


@dataclass(frozen=True)
class Layers:
    """A heat map to lay over its image.

    Attributes:
        view: WebP of what the network saw.
        heat: WebP of the heat map; the colder, the more transparent.
        contour: SVG path around all that is unusual, in pixels of the view; empty for none.
        shape: height and width of the view, which both pictures fill.
        box: left, top, width and height of the view on the upright image, as shares of its sides.
        width: of the upright image, in pixels.
        height: of the upright image, in pixels.
        unusual: heat-map value from which on a pixel is unusual; twice as much is drawn hottest.
        area_above: share of what is judged (the view, or the region in it) that is unusual, 0 to 1.
    """

    view: bytes
    heat: bytes
    contour: str
    shape: tuple[int, int]
    box: tuple[float, float, float, float]
    width: int
    height: int
    unusual: float
    area_above: float


def heat_map_png(view: npt.NDArray[np.uint8], prediction: Prediction, detector: Detector) -> bytes:
    """A PNG of the image under its heat map, in the size of the network's input."""
    from gtrans_core.drawing.heat_maps import overlay  # matplotlib takes its time

    return encode_png(overlay(np.moveaxis(view, 0, -1), prediction.heat_map, detector.map_range))


def layers_of(
    size: tuple[int, int],
    view: npt.NDArray[np.uint8],
    prediction: Prediction,
    detector: Detector,
) -> Layers:
    """The layers of a scored image.

    Args:
        size: width and height of the upright image.
        view: what the network saw of it.
        prediction: what it said.
        detector: which one.
    """
    from gtrans_core.drawing.layers import contour_path, heat_layer, view_layer

    level, image = detector.map_level, detector.info.config.image
    judged = (
        prediction.heat_map > level
        if image.inside is None
        else prediction.heat_map[image.inside] > level
    )
    high, wide = (
        part / whole for part, whole in zip(image.view_shape, image.resized_shape, strict=True)
    )
    return Layers(
        view=view_layer(view),
        heat=heat_layer(prediction.heat_map, level),
        contour=contour_path(prediction.heat_map, level),
        shape=image.view_shape,
        box=((1 - wide) / 2, (1 - high) / 2, wide, high),
        width=size[0],
        height=size[1],
        unusual=level,
        area_above=float(judged.mean()),
    )

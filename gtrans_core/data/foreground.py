"""Where a category's parts lie: all that differs from the colour of the background.

One region for all pictures, since a mask is packaged once. It is where any good part was, and some
margin: a part that moves or turns is never cut, and holes in parts are in it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from gtrans_core.config import ImageConfig
from gtrans_core.config.region import FOREGROUND, packed
from gtrans_core.errors import DataError

SIDE = 128
"""Pictures are looked at in this size."""
_FRAME = 2
"""Pixels at each edge that show the background."""
_LEAST = 24
"""Grey levels, in the colour that differs most, that are a difference in any picture."""
_SPREADS = 4
"""Where the background varies by more, a difference is so many times its own (median) one."""
_SELDOM = 0.02
"""Share of the pictures; what differs in fewer is taken for dust."""
_MARGIN = 3
"""Pixels that the region grows by: 2 % of each side."""
_NEIGHBOURS = np.ones((3, 3), np.bool_)
_NOTHING, _EVERYTHING = 0.005, 0.95
"""Shares of a picture."""

Pixels = npt.NDArray[np.uint8]
Marks = npt.NDArray[np.bool_]
_HOW_ELSE = "give image.region a mask or corners, or leave it out"


def seen_small(image: ImageConfig) -> ImageConfig:
    """How pictures are read to find where parts lie."""
    return ImageConfig(size=SIDE, levels=image.levels, max_megapixels=image.max_megapixels)


def foreground(pictures: Iterable[tuple[str, Pixels]]) -> tuple[str, float]:
    """The region of good pictures, as a packed mask, and its share of the picture.

    A pixel differs where a colour is further from the median of the picture's edge than 24 levels,
    or 4 times the edge's own median distance. It is in the region if it differs in one of 50
    pictures (in any, of fewer). The region then grows by 2 % of each side, and holes are filled.

    Args:
        pictures: name and pixels [3, SIDE, SIDE] of each.

    Raises:
        DataError: when a picture does not differ from its edge, or all of them everywhere.
    """
    count, seen = 0, np.zeros((SIDE, SIDE), np.int64)
    plain: list[str] = []
    for name, pixels in pictures:
        marks = _differs(pixels)
        if marks.mean() < _NOTHING:
            plain.append(name)
        seen += marks
        count += 1
    if plain:
        raise DataError(
            f"image.region = {FOREGROUND}: nothing differs from the colour of the edge in "
            f"{len(plain)} of {count} good images, such as {plain[0]}; {_HOW_ELSE}"
        )
    anywhere = seen >= max(1, math.ceil(_SELDOM * count))
    grown = ndimage.binary_dilation(anywhere, _NEIGHBOURS, iterations=_MARGIN)
    region: Marks = ndimage.binary_fill_holes(grown)
    share = float(region.mean())
    if share > _EVERYTHING:
        raise DataError(
            f"image.region = {FOREGROUND}: {100 * share:.0f} % of the picture differs from the "
            f"colour of its edge in some good image, so nothing is left out; {_HOW_ELSE}"
        )
    return packed(Image.fromarray(region)), share


def _differs(pixels_3HW: Pixels) -> Marks:
    """Where a picture differs from the colour of its edge; specks are left out."""
    edge = np.ones((SIDE, SIDE), np.bool_)
    edge[_FRAME:-_FRAME, _FRAME:-_FRAME] = False
    background = np.median(pixels_3HW[:, edge], axis=1)
    distance = np.abs(pixels_3HW - background[:, None, None]).max(axis=0)
    least = max(_LEAST, _SPREADS * float(np.median(distance[edge])))
    marks: Marks = ndimage.binary_opening(distance > least, _NEIGHBOURS)
    return marks

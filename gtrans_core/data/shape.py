"""The shape in which the network sees images: about their own, of a fixed number of pixels."""

from __future__ import annotations

from collections.abc import Iterable

from gtrans_core.config import MOST_SIDE, USUAL_SIDE, whole_shape

STEP = 32
"""Sides are multiples of it, so that the maps at each stride cover the whole image."""
_NEARLY = 0.901
"""Of the largest scale; what is lost below would be missed more than a few percent of shape. At 0.9
itself, rounding would decide of pictures of 4:3."""

Shape = tuple[int, int]
"""Height and width in pixels."""


def shape_for(
    images: Iterable[Shape],
    step: int = STEP,
    tiles: tuple[int, int] = (1, 1),
    overlap: int = 0,
) -> Shape:
    """The shape that images of these shapes are resized to, or that of each of their tiles.

    The image with the median aspect ratio decides. Of all pairs of multiples of ``step`` with no
    more pixels than a square of ``USUAL_SIDE``, those count that show it nearly as large as any
    does, in the direction that is shown smaller; of these, the one that stretches it least is
    taken, and of equals the largest. A square stays a square.

    Args:
        images: at least one.
        step: divides both sides.
        tiles: rows and columns that an image is cut into.
        overlap: pixels that neighbouring tiles share.
    """
    ordered = sorted(images, key=lambda shape: shape[1] / shape[0])
    height, width = ordered[(len(ordered) - 1) // 2]
    most = USUAL_SIDE**2
    pairs = [
        (rows, columns)
        for rows in range(step, MOST_SIDE + 1, step)
        for columns in range(step, min(most // rows, MOST_SIDE) + 1, step)
        if tiles == (1, 1) or 2 * overlap <= min(rows, columns)
    ]

    def scales(pair: Shape) -> tuple[float, float]:
        whole = whole_shape(pair, tiles, overlap)
        low, high = sorted((whole[0] / height, whole[1] / width))
        return low, high

    least = _NEARLY * max(scales(pair)[0] for pair in pairs)
    large = [pair for pair in pairs if scales(pair)[0] >= least]

    def stretch(pair: Shape) -> tuple[float, int]:
        low, high = scales(pair)
        return high / low, -pair[0] * pair[1]

    return min(large, key=stretch)

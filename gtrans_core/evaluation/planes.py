"""Masks and heat maps of a split, read image by image: they may be larger than memory.

Held at a time are an image, what its defects take, and a part of the good pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from gtrans_core.evaluation.ranking import (
    BoolArray,
    FloatArray,
    Ranking,
    as_bool,
    as_float,
    of_one_shape,
    rank_parts,
    require_both,
)

PIXELS = ("masks", "maps", "pixel")
PART = 1 << 24
"""Good pixels that are sorted at a time: 64 MB of a heat map."""
_TOUCHING = np.ones((3, 3), np.bool_)
"""A region goes on across corners."""


@dataclass(frozen=True)
class Planes:
    """Some images of a split, and the places that count.

    Attributes:
        masks: 0 or 1 (or booleans) [N, H, W].
        maps: heat maps [N, H, W].
        images: positions of the images; None: all.
        counted: the places that count [H, W], where all defects are; None: all.
    """

    masks: npt.NDArray[Any]
    maps: npt.NDArray[Any]
    images: Sequence[int] | None = None
    counted: BoolArray | None = None

    @classmethod
    def of(
        cls,
        masks: npt.ArrayLike,
        maps: npt.ArrayLike,
        images: Sequence[int] | None = None,
        counted: BoolArray | None = None,
    ) -> Planes:
        """Of what metrics get.

        Raises:
            ValueError: when shapes are not [N, H, W], values are not those of masks or maps, or
                no pixel is anomalous or none is normal.
        """
        planes = cls(*of_one_shape(masks, maps, PIXELS), images, counted)
        if planes.masks.ndim != 3:
            raise ValueError(f"masks and maps have shape {planes.masks.shape}: expected [N, H, W]")
        anomalous = pixels = 0
        for mask, _ in planes:
            anomalous += int(np.count_nonzero(mask))
            pixels += mask.size
        require_both(anomalous, pixels, PIXELS)
        return planes

    def __iter__(self) -> Iterator[tuple[BoolArray, FloatArray]]:
        """Mask and heat map [H, W] of each image."""
        images = range(len(self.masks)) if self.images is None else self.images
        for i in images:
            yield as_bool(self.masks[i], "masks"), as_float(self.maps[i], "maps")

    def ranking(self) -> Ranking:
        """Pixels ranked so that the covered share is PRO: each region weighs 1, spread on them."""
        found = [(scores[mask], _region_weights(mask)) for mask, scores in self if mask.any()]
        scores, weights = (np.concatenate(of_images) for of_images in zip(*found, strict=True))
        return rank_parts(scores, weights, self.good_pixels())

    def counts_above(self, level: float) -> tuple[int, int, int]:
        """How many pixels are flagged (above a level), anomalous, and both."""
        flagged = anomalous = both = 0
        for mask, scores in self:
            above = scores > level
            flagged += int(np.count_nonzero(above))
            anomalous += int(np.count_nonzero(mask))
            both += int(np.count_nonzero(above & mask))
        return flagged, anomalous, both

    def good_pixels(self) -> Iterator[FloatArray]:
        """Scores of good pixels, about ``PART`` at a time."""
        held: list[FloatArray] = []
        for mask, scores in self:
            good = ~mask if self.counted is None else ~mask & self.counted
            held.append(scores[good])
            if sum(part.size for part in held) >= PART:
                yield np.concatenate(held)
                held = []
        if held:
            yield np.concatenate(held)


def _region_weights(mask: BoolArray) -> FloatArray:
    """1 / (pixels of its region) for each anomalous pixel of an image, in order."""
    regions, _ = ndimage.label(mask, structure=_TOUCHING)
    region = regions[mask]
    return 1.0 / np.bincount(region)[region]

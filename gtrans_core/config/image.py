"""The knobs of ``[image]``, and the shapes that follow from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from gtrans_core.config.region import FOREGROUND, REGIONS, Region, checked_region, region_of
from gtrans_core.config.section import Section, expected

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_MEGAPIXELS = 170
"""More would be a decompression bomb to Pillow."""
GreyLevel = Annotated[int, Field(ge=0, le=65535)]
SIDE_STEP = 16
"""Pixels: sides are multiples of it."""
MOST_SIDE = 2048
Side = Annotated[int, Field(ge=32, le=MOST_SIDE, multiple_of=SIDE_STEP)]
MOST_TILES = 16
Tiles = Annotated[int, Field(ge=1, le=MOST_TILES)]
USUAL_SIDE = 288
"""An image becomes as many pixels as a square of this side has, where nobody says otherwise. Of
256, 288 and 320 it was the best on the mean of six categories (docs/appendix/accuracy.md)."""
_SIDE_OF_A_CROP = 256
"""The square that a crop is from, where nobody says otherwise: 224 of it is what papers have."""


def whole_shape(tile: tuple[int, int], tiles: tuple[int, int], overlap: int) -> tuple[int, int]:
    """Height and width of what so many tiles of a shape cover together."""
    height, width = (
        count * side - (count - 1) * overlap for side, count in zip(tile, tiles, strict=True)
    )
    return height, width


class ImageConfig(Section):
    """From an image file to the network's input."""

    size: Annotated[
        Side | tuple[Side, Side] | None,
        expected(
            f"a side of 32 to {MOST_SIDE} pixels, a multiple of {SIDE_STEP}, such as 288, or "
            "[height, width], such as [256, 512]"
        ),
    ] = None
    """Side in pixels that images are resized to, or [height, width]: larger shows smaller defects
    and takes longer. Not set: as many pixels as 288 x 288, in the
    images' own shape.
    """
    tiles: Annotated[
        tuple[Tiles, Tiles],
        expected(f"[rows, columns], each from 1 to {MOST_TILES}, such as [2, 3]"),
    ] = (1, 1)
    """[rows, columns] that a part is cut into, for small defects; each tile is seen at ``size``.
    [1, 1]: the part is not cut.
    """
    overlap: Annotated[int, Field(ge=0, le=1024, multiple_of=SIDE_STEP)] = 32
    """Pixels that neighbouring tiles share; a multiple of the coarsest stride of ``agn.taps``."""
    region: Annotated[Region, expected(REGIONS), AfterValidator(checked_region)] | None = None
    """Where parts are judged: a mask's file, corners [[x, y], ...] from 0 to 1, or ``foreground``:
    what differs from the background's colour. Not set: everywhere.
    """
    crop: Side | None = None
    """Side in pixels of a crop from the middle, after the resize. Not set: none, since a crop hides
    defects at the edge.
    """
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    """How the resize computes pixels (antialiased); there is rarely a reason to change it."""
    resize: Literal["fast", "exact"] = "fast"
    """``fast``: large images first shrink by a whole factor; ``exact``: from all pixels, for parts
    on which single pixels matter.
    """
    levels: Annotated[
        tuple[GreyLevel, GreyLevel] | None,
        expected("a lower and a higher grey level, from 0 to 65535, such as [0, 4095]"),
    ] = None
    """The grey levels of 16-bit images that become 0 and 255. Not set: all, or the range that the
    training images need.
    """
    exposure: Literal["as_taken", "even"] = "as_taken"
    """``even``: each picture is made as bright as all others, so that lamps may age.
    ``as_taken``: for steady light, and where brightness itself is the defect.
    """
    max_megapixels: Annotated[int, Field(ge=1, le=MOST_MEGAPIXELS)] = 50
    """Larger images are refused, in training and in use: decoding takes 3 to 6 MB of memory for
    each megapixel.
    """

    @model_validator(mode="after")
    def _crop_fits(self) -> ImageConfig:
        if self.crop is not None and self.crop > min(self.resized_shape):
            raise ValueError("crop is larger than size; choose a smaller crop")
        if self.crop is not None and self.has_tiles:
            raise ValueError("a crop is not cut into tiles; leave out crop or tiles")
        if self.has_tiles and 2 * self.overlap > min(self.input_shape):
            raise ValueError("overlap is more than half a tile; take a smaller one")
        if self.levels is not None and self.levels[0] >= self.levels[1]:
            raise ValueError("expected a lower and a higher grey level")
        return self

    @model_validator(mode="after")
    def _region_is_seen(self) -> ImageConfig:
        if self.region != FOREGROUND and self.inside is not None and not self.inside.any():
            raise ValueError("nothing of region is in the crop; move one of them")
        return self

    @property
    def resized_shape(self) -> tuple[int, int]:
        """Height and width of the whole image after the resize: of all tiles together.

        Before the training images have settled them (``Manifest.settled``), those of a square.
        """
        return whole_shape(self._sides, self.tiles, self.overlap)

    @property
    def view_shape(self) -> tuple[int, int]:
        """Height and width of what is scored: the resized image, or its centre crop."""
        return (self.crop, self.crop) if self.crop else self.resized_shape

    @property
    def cropped_away(self) -> tuple[int, int]:
        """Rows above and columns left of what a centre crop leaves of the resized image."""
        rows, columns = (
            (whole - left) // 2
            for whole, left in zip(self.resized_shape, self.view_shape, strict=True)
        )
        return rows, columns

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width of what the network sees at a time: the view, or one of its tiles."""
        return (self.crop, self.crop) if self.crop else self._sides

    @property
    def has_tiles(self) -> bool:
        """Whether a part is cut."""
        return self.tiles != (1, 1)

    @property
    def inside(self) -> npt.NDArray[np.bool_] | None:
        """Where in the view parts are judged, bool [H, W]; None: everywhere.

        ``foreground`` is known when the training images have settled it (``Manifest.settled``).
        """
        if self.region is None:
            return None
        whole = region_of(self.region, self.resized_shape)
        (top, left), (height, width) = self.cropped_away, self.view_shape
        return whole[top : top + height, left : left + width]

    @property
    def usual_side(self) -> int:
        """Side of the square that images become where ``size`` is not set."""
        return USUAL_SIDE if self.crop is None else _SIDE_OF_A_CROP

    @property
    def scored_pixels(self) -> int | None:
        """Pixels that ``top_percent`` is of: a tile's or, if fewer, the region's; None: all."""
        inside = self.inside
        if not self.has_tiles and inside is None:
            return None
        seen = math.prod(self.input_shape)
        return seen if inside is None else min(seen, max(1, int(inside.sum())))

    @property
    def _sides(self) -> tuple[int, int]:
        if isinstance(self.size, tuple):
            return self.size
        side = self.size or self.usual_side
        return (side, side)

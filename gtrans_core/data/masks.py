"""What a ground-truth mask marks, however it was drawn.

Black is good, white (or one other value or colour) is defective. Soft edges and the noise of JPEG
are cut at half. Where a picture's alpha channel alone tells defective from good, it is the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from gtrans_core.config import MOST_MEGAPIXELS
from gtrans_core.data.images import (
    DEFAULT_MEGAPIXELS,
    INTEGER_MODES,
    MaskArray,
    RefusedError,
    integers_of,
    reported_as,
    upright,
)

_MOST_BETWEEN = 0.1
"""Share of an image's pixels that soft edges may take; a photograph has far more of mid grey."""
_MOST_FLAT = 0.02
"""Share of the marked pixels that may lie in flat mid grey, as the numbers of classes do."""


@dataclass(frozen=True)
class Mask:
    """A decoded mask.

    Attributes:
        defective: bool [H, W], upright.
        is_soft: whether it had other values than two, and was cut at half.
        orientation: as EXIF said (1..8).
        value: the highest value of a pixel; 0: it marks nothing.
    """

    defective: MaskArray
    is_soft: bool
    orientation: int
    value: int

    @property
    def coverage(self) -> float:
        """Share of the pixels that are defective."""
        return float(self.defective.mean())

    @property
    def looks_inverted(self) -> bool:
        """Whether more than half is marked, and nearly all of the picture's edge, but not all."""
        marks = self.defective
        edge = np.concatenate([marks[0], marks[-1], marks[:, 0], marks[:, -1]])
        return 0.5 < self.coverage < 1 and float(edge.mean()) >= 0.9


def read_mask_file(data: bytes, name: str, max_megapixels: int = DEFAULT_MEGAPIXELS) -> Mask:
    """Decode a ground-truth mask.

    Raises:
        DataError: as ``decode_image``, and when it is no mask: a photograph, numbers of classes.
    """
    with reported_as(name):
        image, orientation = upright(data, max_megapixels)
        marks = _marks(image)
        values = np.unique(marks)
        if values.size <= 2 and (values.size == 1 or values[0] == 0):
            return Mask(marks != 0, False, orientation, int(values[-1]))
        if not _has_soft_edges(marks):
            raise RefusedError(f"not a two-valued mask: {_values_seen(values)}")
        return Mask(2 * marks > marks.max(), True, orientation, int(values[-1]))


def decode_mask(data: bytes, name: str, max_megapixels: int = DEFAULT_MEGAPIXELS) -> MaskArray:
    """What a mask marks: bool [H, W], True where defective.

    Raises:
        DataError: as ``read_mask_file``.
    """
    return read_mask_file(data, name, max_megapixels).defective


def decode_class_mask(data: bytes, name: str) -> MaskArray:
    """Decode a mask of class numbers: 0 (black) is good, every other value is some defect.

    Returns:
        bool [H, W], True where defective.

    Raises:
        DataError: as ``decode_image``.
    """
    with reported_as(name):
        defective: MaskArray = np.not_equal(_marks(upright(data, MOST_MEGAPIXELS)[0]), 0)
    return defective


def _marks(image: Image.Image) -> npt.NDArray[np.int32]:
    """How strongly each pixel is marked: its grey, its strongest colour, or its alpha, [H, W]."""
    if image.mode in INTEGER_MODES:
        return integers_of(image).astype(np.int32)
    if not image.has_transparency_data:
        return _strongest(np.asarray(image.convert("RGB")))
    rgba = np.asarray(image.convert("RGBA")).astype(np.int32)
    colour, alpha = _strongest(rgba[..., :3]), rgba[..., 3]
    if alpha.max() == alpha.min():  # it tells nothing
        return colour
    on_black = colour * alpha // 255
    return on_black if on_black.any() else alpha


def _strongest(rgb: npt.NDArray[np.generic]) -> npt.NDArray[np.int32]:
    strongest: npt.NDArray[np.int32] = rgb.max(axis=2).astype(np.int32)
    return strongest


def _has_soft_edges(marks: npt.NDArray[np.int32]) -> bool:
    """Whether all but the edges of regions is nearly black or nearly white."""
    top = int(marks.max())
    if 4 * int(marks.min()) > top:
        return False
    between = (4 * marks > top) & (4 * marks < 3 * top)
    middling = (10 * marks > top) & (10 * marks < 9 * top)
    flat = middling[1:-1, 1:-1].copy()
    inner = marks[1:-1, 1:-1]
    for row in range(3):
        for column in range(3):
            height, width = inner.shape
            flat &= marks[row : row + height, column : column + width] == inner
    marked = int((2 * marks > top).sum())
    is_sharp = float(between.mean()) <= _MOST_BETWEEN
    return is_sharp and int(flat.sum()) <= _MOST_FLAT * marked


def _values_seen(values: npt.NDArray[np.integer]) -> str:
    shown = ", ".join(str(value) for value in values[:6]) + (", ..." if values.size > 6 else "")
    return f"it has {values.size} values ({shown}), expected 0 and one other (255, say)"

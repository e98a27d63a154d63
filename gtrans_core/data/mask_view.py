"""Ground truth in the network's geometry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import MaskArray, centre_crop

_TOUCHING = np.ones((3, 3), dtype=np.bool_)
"""A region goes on across corners, as in AU-PRO."""


def preprocess_mask(mask: MaskArray, config: ImageConfig) -> MaskArray:
    """A mask in the network's geometry: a pixel is defective where half of its area is.

    A region too small for that keeps every pixel it touches, so that no defect is lost.

    Args:
        mask: bool [H, W].
        config: gives the size ``config.view_shape``.

    Returns:
        bool [H, W], that size.
    """
    defective = _share(mask, config) >= 0.5
    lost = _without_a_pixel(mask, defective)
    if lost.any():
        defective |= _share(lost, config) > 0
    view = np.asarray(centre_crop(Image.fromarray(defective), config)).astype(np.bool_)
    return view if config.inside is None else view & config.inside


def _share(mask: MaskArray, config: ImageConfig) -> npt.NDArray[np.float32]:
    """Share of each pixel's area that is marked, of ``config.resized_shape``."""
    height, width = config.resized_shape
    marks = Image.fromarray(mask.astype(np.float32))
    return np.asarray(marks.resize((width, height), Image.Resampling.BOX))


def _without_a_pixel(mask: MaskArray, small: MaskArray) -> MaskArray:
    """The regions of a mask none of which is marked in the smaller one, bool [H, W]."""
    regions, count = ndimage.label(mask, structure=_TOUCHING)
    sides = zip(mask.shape, small.shape, strict=True)
    rows, columns = (((np.arange(n) + 0.5) * s / n).astype(int) for n, s in sides)
    seen = small[np.ix_(rows, columns)]
    is_lost = np.ones(count + 1, dtype=np.bool_)
    is_lost[regions[seen]] = is_lost[0] = False
    lost: MaskArray = is_lost[regions]
    return lost

"""The last step from a resized picture to what the network sees."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig


def as_seen(view_3HW: npt.NDArray[np.uint8], config: ImageConfig) -> npt.NDArray[np.uint8]:
    """A view [3, H, W] in which all outside of the region is black."""
    return view_3HW if config.inside is None else view_3HW * config.inside

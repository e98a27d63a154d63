"""Images that are arrays already, as a camera's library hands them over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from gtrans_core.errors import DataError

_CHANNELS = ((), (3,), (4,))


def image_of(pixels: npt.NDArray[np.generic], name: str) -> Image.Image:
    """An array as an image.

    Args:
        pixels: uint8 [H, W, 3] in RGB, [H, W, 4] in RGBA or [H, W] in grey, 0..255; or uint16
            [H, W] in grey, 0..65535.
        name: what to call it in an error.

    Raises:
        DataError: for any other type or shape, and for an array without a pixel.
    """
    kinds = {np.dtype(np.uint8): _CHANNELS, np.dtype(np.uint16): _CHANNELS[:1]}
    channels = kinds.get(pixels.dtype, ())
    if not pixels.size or pixels.ndim < 2 or pixels.shape[2:] not in channels:
        raise DataError(
            f"{name}: an array of {pixels.dtype} {list(pixels.shape)}; expected uint8 [H, W, 3] "
            "(RGB), [H, W, 4] (RGBA) or [H, W] (grey), or uint16 [H, W] (grey)"
        )
    return Image.fromarray(np.ascontiguousarray(pixels))

"""Where on a part anything matters: a polygon, a mask that was drawn over a photograph, or all that
differs from the background's colour.

A mask becomes part of the config itself, small and in black and white, so that it goes wherever the
config goes: to the steps, into the cache's key, into the detector. What differs from the background
becomes such a mask once the training images are known (``data/foreground.py``).
"""

from __future__ import annotations

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL import Image

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y), in shares of an image's width and height."""
Region = Polygon | str
"""A polygon, a mask as ``packed`` makes it, or ``FOREGROUND``."""

PACKED = "mask:"
FOREGROUND = "foreground"
"""Where good training images differ from the background's colour."""
REGIONS = (
    f"a mask's file, three or more corners such as [[0, 0], [0.5, 0], [0.5, 1]], or {FOREGROUND}"
)
"""What a region may be, for errors."""
_MOST_SIDE = 256
_MOST_LETTERS = 5000
"""MLflow takes 6,000 for a parameter."""


def packed_mask(path: Path) -> str:
    """A mask file as text: a PNG of two values, at most 256 pixels a side; white is looked at.

    Raises:
        ConfigError: when the file cannot be read, is no image, marks nothing or is too intricate.
    """
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG", "BMP", "TIFF"]) as file:
            marks = _on_black(file).convert("L")
    except (OSError, ValueError, Image.DecompressionBombError):
        raise ConfigError(
            "image.region: no mask that can be read; expected a PNG file, white where parts "
            f"are looked at and black elsewhere, corners [[x, y], ...], or {FOREGROUND}"
        ) from None
    marks.thumbnail((_MOST_SIDE, _MOST_SIDE), Image.Resampling.BOX)
    text = packed(marks)
    if len(text) > _MOST_LETTERS:
        raise ConfigError("image.region: the mask is too intricate; draw it with smooth outlines")
    return text


def _on_black(file: Image.Image) -> Image.Image:
    """What is transparent is not looked at, whatever its colour."""
    from PIL import Image

    if not file.has_transparency_data:
        return file
    marks = file.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", marks.size, "black"), marks)


def packed(marks: Image.Image) -> str:
    """A grey picture as a mask's text: what is lighter than mid grey is looked at."""
    buffer = io.BytesIO()
    marks.point([255 * (value > 127) for value in range(256)]).convert("1").save(
        buffer, "PNG", optimize=True
    )
    return PACKED + base64.b64encode(buffer.getvalue()).decode("ascii")


def checked_region(region: Region) -> Region:
    """The region, if it is one.

    Raises:
        ValueError: when it is not.
    """
    if not isinstance(region, str):
        if len(region) < 3 or not all(0 <= share <= 1 for corner in region for share in corner):
            raise ValueError(
                "expected three or more corners [x, y], in shares from 0 to 1: such as "
                "[[0, 0], [0.5, 0], [0.5, 1]]"
            )
        if _on_a_line(region):
            raise ValueError("nothing of the image is in it: its corners lie on one line")
    elif region == FOREGROUND:
        return region
    elif not region.startswith(PACKED):
        raise ValueError(f"expected {REGIONS}")
    if not region_of(region, (64, 64)).any():
        raise ValueError("nothing of the image is in it, or less than a 64th of its width")
    return region


def _on_a_line(polygon: Polygon) -> bool:
    """Whether it is a point or a line, or narrower than about a thousandth of the image."""
    import numpy as np

    corners = np.array(polygon)
    return bool(np.linalg.matrix_rank(corners - corners[0], tol=1e-3) < 2)


def mask_shape(region: Region | None) -> tuple[int, int] | None:
    """Height and width that a mask has in the config; None where the region is no mask."""
    from PIL import Image

    if not isinstance(region, str) or not region.startswith(PACKED):
        return None
    with Image.open(io.BytesIO(base64.b64decode(region.removeprefix(PACKED)))) as file:
        return file.height, file.width


@lru_cache(maxsize=16)
def region_of(region: Region, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Where it is in an image of this height and width, bool [H, W].

    Raises:
        ValueError: for a text that ``packed`` did not make.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    height, width = shape
    if isinstance(region, str):
        try:
            data = base64.b64decode(region.removeprefix(PACKED), validate=True)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as file:
                marks = file.convert("L").resize((width, height), Image.Resampling.NEAREST)
        except (OSError, ValueError, SyntaxError):
            raise ValueError("its text is not a packed mask") from None
    else:
        marks = Image.new("L", (width, height))
        corners = [(x * width - 0.5, y * height - 0.5) for x, y in region]
        ImageDraw.Draw(marks).polygon(corners, fill=255)
    inside: npt.NDArray[np.bool_] = np.asarray(marks) > 0
    return inside

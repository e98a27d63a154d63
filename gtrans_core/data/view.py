"""The last steps from a resized picture to what the network sees."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig

EVEN_GREY = 110
"""Mean grey level that ``image.exposure = "even"`` gives every view."""
MOST_GAIN = 4
"""A picture that is darker than a quarter of it stays darker: the rest would be noise."""
LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601)."""

View = npt.NDArray[np.uint8]


def as_seen(view_3HW: View, config: ImageConfig) -> View:
    """A view [3, H, W], its exposure made even if the config says so, black outside the region."""
    if config.exposure == "even":
        view_3HW = _even(view_3HW)
    return view_3HW if config.inside is None else view_3HW * config.inside


def brightness(view_3HW: View, factor: float) -> View:
    """Every pixel times a factor."""
    return levels(view_3HW * factor)


def levels(values_3HW: npt.NDArray[np.floating[Any]]) -> View:
    """Whole grey levels, 0 to 255, of values that may be beyond."""
    rounded: View = np.clip(np.rint(values_3HW), 0, 255).astype(np.uint8)
    return rounded


def mean_grey(view_3HW: View) -> float:
    """Mean grey level, 0 to 255, of all of a view."""
    return float(np.tensordot(LUMA, view_3HW.mean(axis=(1, 2)), 1))


def _even(view_3HW: View) -> View:
    """Every pixel times what makes the mean grey ``EVEN_GREY``."""
    gain = min(EVEN_GREY / max(mean_grey(view_3HW), 1.0), MOST_GAIN)
    even: View = np.minimum(np.rint(view_3HW * gain), 255).astype(np.uint8)
    return even

"""Thresholds from held-out good images alone, at a stated false-alarm rate.

Split-conformal prediction (Vovk et al., "Algorithmic Learning in a Random World", 2005): among
n held-out good scores and that of one more good image, all exchangeable, each rank is equally
likely for the new one, whatever the scores' distribution.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt


def conformal_threshold(scores: npt.ArrayLike, alpha: float) -> float:
    """The score above which an image is flagged: ``score > threshold``, strictly.

    The k-th smallest of n held-out good scores, k = ceil((n + 1)(1 - alpha)). For a good image
    exchangeable with the held-out ones P(flagged) <= alpha, over the draw of all n + 1; without
    ties it is also > alpha - 1 / (n + 1).

    Args:
        scores: image scores of held-out good images, finite [n]; seen neither in training nor in
            the choice of a checkpoint.
        alpha: false-alarm rate, in (0, 1), taken as the decimal it is written as.

    Raises:
        ValueError: for no scores, scores that are not finite or not one-dimensional, alpha
            outside (0, 1), or fewer images than alpha needs (the message states how many).
    """
    held_out = _checked(scores)
    needed = needed_images(alpha)
    if held_out.size < needed:
        raise ValueError(
            f"a false-alarm rate of {alpha} needs at least {needed} held-out good images, "
            f"there are {held_out.size}"
        )
    k = math.ceil((held_out.size + 1) * (1 - _exact(alpha)))
    return float(np.sort(held_out)[k - 1])


def promised_threshold(scores: npt.ArrayLike, alpha: float) -> tuple[float, float]:
    """The threshold, and the false-alarm rate that it goes with: alpha, or what the images allow.

    Fewer than alpha needs still allow a rate of 1 / (n + 1), with the highest score as threshold.

    Args:
        scores: as for ``conformal_threshold``; that rate is promised where they are exchangeable
            with the score of a further good image.
        alpha: false-alarm rate that is wanted.

    Raises:
        ValueError: as ``conformal_threshold``, but for too few images.
    """
    checked = _checked(scores)
    if checked.size < needed_images(alpha):
        return float(checked.max()), 1 / (checked.size + 1)
    return conformal_threshold(checked, alpha), alpha


def needed_images(alpha: float) -> int:
    """The fewest held-out good images n for which alpha >= 1 / (n + 1).

    Raises:
        ValueError: for alpha outside (0, 1).
    """
    return math.ceil(1 / _exact(alpha)) - 1


def _checked(scores: npt.ArrayLike) -> npt.NDArray[np.floating[Any]]:
    held_out = np.asarray(scores)
    if held_out.ndim != 1 or held_out.size == 0:
        raise ValueError(f"held-out scores have shape {held_out.shape}: expected [n], n at least 1")
    if not np.isfinite(held_out).all():
        raise ValueError("held-out scores hold values that are not finite (nan or inf)")
    return held_out


def _exact(alpha: float) -> Fraction:
    """Alpha as the decimal it is written as: floats give 10 * (1 - 0.7) > 3."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}: expected a false-alarm rate between 0 and 1")
    return Fraction(str(alpha))

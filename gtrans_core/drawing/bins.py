"""Bins of a histogram of scores, on the axis that scores need."""

from __future__ import annotations

import numpy as np

from gtrans_core.drawing.canvas import Values

_BINS = 40
_ALIKE = 1e-6
"""Of their size: values that differ by less are drawn as one."""


def spans_decades(values: Values) -> bool:
    """Whether values are positive and span more than a decade: then the axis is logarithmic."""
    return bool(values.min() > 0 and values.max() > 10 * values.min())


def bin_edges(values: Values, threshold: float, logarithmic: bool) -> Values:
    """Edges of equal width on the axis, the threshold one of them, around all values."""
    low, high = float(values.min()), float(values.max())
    if logarithmic:
        ratio = (high / low) ** (1 / _BINS)
        below, above = np.log([threshold / low, high / threshold]) / np.log(ratio)
        edges: Values = threshold * ratio ** _steps(below, above)
        return edges
    size = max(abs(low), abs(high))
    apart = high - low > _ALIKE * size  # narrower bins would have edges that round to one number
    width = ((high - low) if apart else size) / _BINS or 1.0
    return threshold + width * _steps((threshold - low) / width, (high - threshold) / width)


def _steps(below: float, above: float) -> Values:
    """Whole numbers from beyond -below to beyond above."""
    return np.arange(-np.floor(below) - 1, np.floor(above) + 2)

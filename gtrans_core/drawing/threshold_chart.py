"""The histogram of scores that the report's threshold slider moves over: bars, axis and counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from gtrans_core.data.manifest import GOOD
from gtrans_core.drawing.bins import bin_edges, spans_decades
from gtrans_core.drawing.canvas import Values, finite
from gtrans_core.drawing.shown import Bar, ScoreRow, ThresholdChart

FOR_THRESHOLD = "good, for the threshold"
"""Held-out images, or, where the threshold is cross-fitted, those that are learnt from."""
_TICKS = 6


def threshold_chart(
    scores_by_kind: Mapping[str, Sequence[float]], held_out: Sequence[float], threshold: float
) -> ThresholdChart:
    """Lay the chart out.

    Args:
        scores_by_kind: raw scores of test images by true kind, in the order they are drawn.
        held_out: raw scores of the good images that the threshold comes from, at least one.
        threshold: images whose score is above it are flagged.

    Raises:
        ValueError: naming the scores that are not finite.
    """
    named = {FOR_THRESHOLD: held_out, **scores_by_kind}
    kinds = {name: finite(name, scores) for name, scores in named.items() if len(scores)}
    every = np.append(np.concatenate(list(kinds.values())), finite("threshold", threshold))
    is_log = spans_decades(every)
    edges = bin_edges(every, threshold, is_log)
    low, high = float(edges[0]), float(edges[-1])
    places = _places(edges, low, high, is_log)
    # A bin holds its right edge: a score at the threshold is drawn on its "ok" side.
    counts = {
        name: np.histogram(np.nextafter(scores, -np.inf), edges)[0]
        for name, scores in kinds.items()
    }
    highest = max(int(count.max()) for count in counts.values())
    rows = tuple(
        ScoreRow(
            name=name,
            is_good=name in (FOR_THRESHOLD, GOOD),
            is_tested=name != FOR_THRESHOLD,
            scores=tuple(scores.tolist()),
            flagged=int((scores > threshold).sum()),
            bars=tuple(
                Bar(float(places[i]), float(places[i + 1] - places[i]), float(count / highest))
                for i, count in enumerate(counts[name])
                if count
            ),
        )
        for name, scores in kinds.items()
    )
    [place] = _places(np.array([threshold]), low, high, is_log)
    numbers = _ticks(low, high, is_log)
    shares = _places(numbers, low, high, is_log)
    ticks = tuple((float(at), f"{number:g}") for at, number in zip(shares, numbers, strict=True))
    return ThresholdChart(rows, threshold, float(place), low, high, is_log, ticks)


def _places(values: Values, low: float, high: float, is_log: bool) -> Values:
    """Where scores are, as shares of the axis."""
    if is_log:
        shares: Values = np.log(values / low) / np.log(high / low)
        return shares
    return (values - low) / (high - low)


def _ticks(low: float, high: float, is_log: bool) -> Values:
    """Round numbers within the axis, a handful of them."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    locator = LogLocator(subs=(1, 2, 5), numticks=12) if is_log else MaxNLocator(_TICKS)
    found = np.asarray(locator.tick_values(low, high), np.float64)
    inside = found[(found >= low) & (found <= high)]
    return inside[:: max(1, len(inside) // _TICKS)]

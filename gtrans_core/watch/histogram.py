"""Scores as counts of bins. Two histograms are merged by adding their counts.

Bins are 0.2 % wide in the score. A ranking test on them loses next to nothing (good scores spread
over several per cent), a factor on all scores is a shift by whole bins, and a model's scores, which
seldom span more than a factor of ten, need about a thousand numbers however many images there are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

BINS_PER_E = 500
"""Bins in a factor of e; each spans a factor of exp(1 / 500)."""
_SMALLEST = 1e-12

Counts = Counter[int]
"""Images by bin."""


def bin_of(score: float) -> int:
    """The bin of a score; zero and below share the lowest one.

    Raises:
        ValueError: when it is not finite.
    """
    if not math.isfinite(score):
        raise ValueError(f"score is {score}: expected a finite number")
    return math.floor(math.log(max(score, _SMALLEST)) * BINS_PER_E)


def score_of(number: int) -> float:
    """The (geometric) middle of a bin."""
    return math.exp((number + 0.5) / BINS_PER_E)


def factor_of(bins: int) -> float:
    """The factor on scores that a shift by so many bins is."""
    return math.exp(bins / BINS_PER_E)


def counts_of(scores: Iterable[float]) -> Counts:
    """The histogram of scores."""
    return Counter(map(bin_of, scores))

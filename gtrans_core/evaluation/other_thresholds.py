"""What other thresholds than the one in use would do on the test split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gtrans_core.detector.thresholds import needed_images, promised_threshold
from gtrans_core.evaluation.image_table import ImageResult

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)


@dataclass(frozen=True)
class ThresholdRow:
    """One threshold.

    Attributes:
        threshold: images whose score is above it are flagged.
        names: what it is, in words; several where it is the same threshold.
        in_use: whether it is the detector's.
        missed: defective test images that would pass.
        false_alarms: good test images that would be flagged.
    """

    threshold: float
    names: tuple[str, ...]
    in_use: bool
    missed: int
    false_alarms: int


def threshold_rows(
    results: Sequence[ImageResult], held_out: Sequence[float], threshold: float, rate: float
) -> tuple[ThresholdRow, ...]:
    """The threshold in use, those that promise another rate, and those that are best here.

    Args:
        results: every test image.
        held_out: scores of the good images that the threshold comes from, at least one.
        threshold: the one in use.
        rate: the false-alarm rate that it promises.

    Returns:
        Rows in rising order of threshold.
    """
    named: dict[float, list[str]] = {threshold: [f"in use: promises {_percent(rate)} false alarms"]}
    for other in RATES:
        if len(held_out) >= needed_images(other):
            promised, _ = promised_threshold(held_out, other)
            if promised != threshold:
                named.setdefault(promised, []).append(f"promises {_percent(other)} false alarms")
    good = [result.score for result in results if result.label == "good"]
    bad = [result.score for result in results if result.label == "defective"]
    if good:
        named.setdefault(max(good), []).append("the lowest without a false alarm here")
    if bad:
        # Below the lowest by the least there is: a score at the threshold is not flagged.
        below = float(np.nextafter(min(bad), -np.inf))
        named.setdefault(below, []).append("the highest that misses nothing here")
    return tuple(
        ThresholdRow(
            threshold=value,
            names=tuple(names),
            in_use=value == threshold,
            missed=sum(score <= value for score in bad),
            false_alarms=sum(score > value for score in good),
        )
        for value, names in sorted(named.items())
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g}\u00a0%"

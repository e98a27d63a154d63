"""Positives ranked against negatives by score: one sort, from which every metric is read.

scikit-learn's curves would sort the 65 million pixels of a test split again for each metric,
through a 64-bit index of all pixels, and it has no AU-PRO. Positives are few, and only the
false-positive count changes between two of their scores. So negatives are sorted by value alone (no
index), and counted at the distinct scores of the positives.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Ranking:
    """What lies at or above each of the K distinct scores of positives, highest first."""

    scores: FloatArray
    """Distinct scores of positives, descending, in the dtype they came in [K]."""
    true_positives: IntArray
    """Positives at or above the score [K]."""
    false_positives: IntArray
    """Negatives at or above the score [K]."""
    false_positives_above: IntArray
    """Negatives strictly above the score [K]; the rest of ``false_positives`` is tied with it."""
    covered: npt.NDArray[np.float64]
    """Share of the positives' weight at or above the score, in (0, 1], 1 at the end [K]."""
    negatives: int
    """Number of negatives."""

    @property
    def positives(self) -> int:
        """Number of positives."""
        return int(self.true_positives[-1])

    def curve(self) -> Curve:
        """False-positive rate and covered share from (0, 0) to (1, 1), both rising [2K + 2].

        Between two scores of positives the curve is flat, from the false positives at the higher
        to those above the lower; ties with negatives slope. Thresholds between them lie on a flat
        part, so this is the curve of every distinct score.
        """
        starts = np.r_[0, self.false_positives]
        ends = np.r_[self.false_positives_above, self.negatives]
        fpr = np.column_stack((starts, ends)).ravel() / self.negatives
        return fpr, np.repeat(np.r_[0.0, self.covered], 2)


def rank(labels: BoolArray, scores: FloatArray, weights: FloatArray | None = None) -> Ranking:
    """Sort once and count.

    Args:
        labels: True for a positive, any shape; both classes present (see ``checked``).
        scores: of the same shape, finite; higher means more anomalous.
        weights: of the positives in the order of ``scores[labels]``, positive; equal by default.
    """
    return rank_parts(scores[labels], weights, [scores[~labels]])


def rank_parts(
    positives: FloatArray, weights: FloatArray | None, negatives: Iterable[FloatArray]
) -> Ranking:
    """As ``rank``; of the negatives one part is held at a time.

    Args:
        positives: their scores; at least one.
        weights: of the positives; None: equal.
        negatives: scores, in parts that may be sorted in place; at least one in all.
    """
    distinct, counts, weight = _by_score(positives, weights)
    covered = np.cumsum(weight[::-1])
    below = np.zeros(distinct.size, np.int64)
    not_above = np.zeros(distinct.size, np.int64)
    count = 0
    for part in negatives:
        part.sort()
        below += np.searchsorted(part, distinct, "left")
        not_above += np.searchsorted(part, distinct, "right")
        count += part.size
    return Ranking(
        scores=distinct[::-1],
        true_positives=np.cumsum(counts[::-1]),
        false_positives=count - below[::-1],
        false_positives_above=count - not_above[::-1],
        covered=covered / covered[-1],
        negatives=count,
    )


def up_to(curve: Curve, limit: float) -> Curve:
    """The part of a curve from 0 to a false-positive rate ``limit`` in (0, 1], end interpolated."""
    fpr, covered = curve
    kept = int(np.searchsorted(fpr, limit, side="right"))
    around = slice(kept - 1, kept + 1)
    at_limit = np.interp(limit, fpr[around], covered[around])
    return np.r_[fpr[:kept], limit], np.r_[covered[:kept], at_limit]


def thinned(curve: Curve, max_points: int) -> Curve:
    """A curve of at most ``max_points``: all of a short one, else points spread along its length.

    Both ends are kept.

    Raises:
        ValueError: for fewer than two points.
    """
    if max_points < 2:
        raise ValueError(f"max_points is {max_points}: a curve needs at least 2")
    fpr, covered = curve
    if fpr.size <= max_points:
        return curve
    # Both rise, so their sum is a length along which steep and flat parts count alike.
    length = fpr / fpr[-1] + covered
    chosen = np.unique(np.searchsorted(length, np.linspace(0.0, length[-1], max_points)))
    return fpr[chosen], covered[chosen]


def checked(
    labels: npt.ArrayLike, scores: npt.ArrayLike, names: tuple[str, str, str]
) -> tuple[BoolArray, FloatArray]:
    """Labels as booleans and scores as floats that a ranking can be made of.

    Scores keep their values: float32 and wider stay, float16 becomes float32, integers float64.

    Args:
        labels: 0 or 1 (or booleans), any shape.
        scores: of the same shape.
        names: what messages call labels, scores and one of their items.

    Raises:
        ValueError: when shapes differ, labels are not 0 or 1, a class is missing, or a score is
            not a finite number.
    """
    labels_name, scores_name, _ = names
    label_array, score_array = of_one_shape(labels, scores, names)
    positive = as_bool(label_array, labels_name)
    require_both(int(np.count_nonzero(positive)), positive.size, names)
    return positive, as_float(score_array, scores_name)


def of_one_shape(
    labels: npt.ArrayLike, scores: npt.ArrayLike, names: tuple[str, str, str]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Both as arrays, nothing copied; arguments are those of ``checked``.

    Raises:
        ValueError: when shapes differ.
    """
    labels_name, scores_name, _ = names
    label_array, score_array = np.asarray(labels), np.asarray(scores)
    if label_array.shape != score_array.shape:
        raise ValueError(
            f"{labels_name} have shape {label_array.shape} and {scores_name} "
            f"{score_array.shape}: expected the same"
        )
    return label_array, score_array


def require_both(positives: int, count: int, names: tuple[str, str, str]) -> None:
    """Refuse labels of one class.

    Raises:
        ValueError: naming the class that is missing.
    """
    labels_name, _, item = names
    for value, kind, missing in (
        (1, "anomalous", positives == 0),
        (0, "normal", positives == count),
    ):
        if missing:
            raise ValueError(f"{labels_name} hold no {kind} {item} ({value}): both are needed")


def _by_score(
    scores: FloatArray, weights: FloatArray | None
) -> tuple[FloatArray, IntArray, npt.NDArray[Any]]:
    """Distinct scores, ascending, with the number and the weight of positives at each."""
    distinct, index, counts = np.unique(scores, return_inverse=True, return_counts=True)
    return distinct, counts, counts if weights is None else np.bincount(index, weights)


def as_bool(labels: npt.NDArray[Any], name: str) -> BoolArray:
    """Labels as booleans; errors are those of ``checked``."""
    if labels.dtype == np.bool_:
        return labels
    positive: BoolArray = labels == 1
    if not (positive | (labels == 0)).all():
        raise ValueError(f"{name} hold values other than 0 and 1")
    return positive


def as_float(scores: npt.NDArray[Any], name: str) -> FloatArray:
    """Scores as floats; errors are those of ``checked``."""
    if scores.dtype.kind not in "fiub":
        raise ValueError(f"{name} have dtype {scores.dtype}: expected numbers")
    if scores.dtype.kind != "f":
        scores = scores.astype(np.float64)
    elif scores.dtype == np.float16:
        scores = scores.astype(np.float32)  # numpy sorts halves slowly
    if not np.isfinite(scores).all():
        raise ValueError(f"{name} hold values that are not finite (nan or inf)")
    return scores

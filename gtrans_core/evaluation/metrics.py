"""Exact detection and localisation metrics on raw scores: AUROC, AP, F1-max, AU-PRO, SegF1.

Scores are compared with each other and nothing else: never clamped, never normalised, so any
strictly increasing transform of them gives the same numbers. Ties are exact: equal scores cross a
threshold together. Every function takes numpy arrays (or what becomes one) and returns Python
floats; higher scores mean more anomalous, label 1 means anomalous. Masks and heat maps are read
image by image, so they may be memory-mapped files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gtrans_core.evaluation.planes import Planes
from gtrans_core.evaluation.ranking import (
    BoolArray,
    Curve,
    FloatArray,
    Ranking,
    as_float,
    checked,
    rank,
    rank_parts,
    thinned,
    up_to,
)

_SAMPLES = ("labels", "scores", "sample")


def roc_auc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Area under the ROC curve: P(anomalous > normal) + P(equal) / 2, in [0, 1].

    Args:
        labels: 0 or 1 (or booleans), any shape; both must occur.
        scores: finite, the same shape.

    Raises:
        ValueError: naming what is missing or wrong.
    """
    return _roc_auc(rank(*checked(labels, scores, _SAMPLES)))


def average_precision(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision, in (0, 1]: the mean of precision over recall steps, not interpolated.

    Arguments and errors are those of ``roc_auc``.
    """
    return _average_precision(rank(*checked(labels, scores, _SAMPLES)))


def f1_max(labels: npt.ArrayLike, scores: npt.ArrayLike) -> tuple[float, float]:
    """The best F1 over all thresholds, in (0, 1], and the threshold that reaches it.

    The threshold is one of the scores, and ``score >= threshold`` predicts anomalous. Where
    several reach the best F1 it is the highest of them, which flags the fewest.
    Arguments and errors are those of ``roc_auc``.
    """
    return _f1_max(rank(*checked(labels, scores, _SAMPLES)))


def au_pro(
    masks: npt.ArrayLike,
    maps: npt.ArrayLike,
    fpr_limit: float = 0.3,
    counted: BoolArray | None = None,
    images: Sequence[int] | None = None,
) -> float:
    """Area under the per-region-overlap curve up to a false-positive rate, over it: in [0, 1].

    PRO is the mean, over all regions of the split, of the fraction of a region that is at or
    above a threshold; a region is an 8-connected component of one image's mask. The
    false-positive rate is over all mask-0 pixels, those of normal images included. The curve has
    a point for every distinct score, starts at (0, 0) and is interpolated linearly at the limit.
    (Bergmann et al., "The MVTec Anomaly Detection Dataset", IJCV 2021, with exact ties.)

    A constant map gives the diagonal, hence fpr_limit / 2.

    Args:
        masks: ground truth, 0 or 1 (or booleans) [N, H, W]; both must occur.
        maps: heat maps, finite [N, H, W].
        fpr_limit: in (0, 1].
        counted: the places that count [H, W], where all defects are; None: all.
        images: positions of those that count; None: all.

    Raises:
        ValueError: naming what is missing or wrong.
    """
    limit = _checked_limit(fpr_limit)
    planes = Planes.of(masks, maps, images, counted)
    (area,) = _areas_up_to(planes.ranking().curve(), limit)
    return area


def pixel_metrics(
    masks: npt.ArrayLike,
    maps: npt.ArrayLike,
    counted: BoolArray | None = None,
    images: Sequence[int] | None = None,
) -> dict[str, float]:
    """All pixel metrics from one sort; arguments and errors are those of ``au_pro``.

    Args:
        masks: as for ``au_pro``.
        maps: as for ``au_pro``.
        counted: the places that count [H, W], where all defects are; None: all.
        images: positions of those that count; None: all.

    Returns:
        pixel_auroc, pixel_ap, pixel_f1_max, au_pro_30 and au_pro_05 (limits 0.3 and 0.05).
    """
    ranking = Planes.of(masks, maps, images, counted).ranking()
    au_pro_30, au_pro_05 = _areas_up_to(ranking.curve(), 0.3, 0.05)
    return {
        "pixel_auroc": _roc_auc(ranking),
        "pixel_ap": _average_precision(ranking),
        "pixel_f1_max": _f1_max(ranking)[0],
        "au_pro_30": au_pro_30,
        "au_pro_05": au_pro_05,
    }


class Regions(Protocol):
    """Regions of each image: what they cover [H, W], and the share that counts as all of it."""

    def __getitem__(self, position: int, /) -> Sequence[tuple[BoolArray, float]]:
        """Of the image at a position."""


def au_spro(
    masks: npt.ArrayLike,
    maps: npt.ArrayLike,
    regions: Regions,
    counted: BoolArray | None = None,
    images: Sequence[int] | None = None,
) -> dict[str, float]:
    """Area under the curve of saturated overlap up to a false-positive rate, over it: in [0, 1].

    sPRO of a region is min(n / s, 1): n of its pixels are at or above a threshold, and s of them
    are enough. The curve is its mean over all regions; the rest is as in ``au_pro``. With s all
    of a region it is AU-PRO. (Bergmann et al., "Beyond Dents and Scratches", IJCV 2022.)

    Args:
        masks: as for ``au_pro``; what they do not mark is good.
        maps: as for ``au_pro``.
        regions: of each image; they may overlap, and need not be connected.
        counted: the places that count [H, W], where all defects are; None: all.
        images: positions of those that count; None: all.

    Returns:
        au_spro_30 and au_spro_05 (limits 0.3 and 0.05); nothing where no region is seen.

    Raises:
        ValueError: as ``au_pro``.
    """
    planes = Planes.of(masks, maps, images, counted)
    found = [
        (scores, _saturating(scores, share))
        for position in (range(len(planes.masks)) if images is None else images)
        for region, share in regions[position]
        if (scores := as_float(planes.maps[position], "maps")[region]).size
    ]
    if not found:
        return {}
    scores, weights = (np.concatenate(of_regions) for of_regions in zip(*found, strict=True))
    curve = rank_parts(scores, weights, planes.good_pixels()).curve()
    return dict(zip(("au_spro_30", "au_spro_05"), _areas_up_to(curve, 0.3, 0.05), strict=True))


def _saturating(scores: FloatArray, share: float) -> FloatArray:
    """What each pixel of a region adds to its sPRO: the highest 1 / s each, until that is 1."""
    enough = share * scores.size
    weights = np.empty(scores.size)
    weights[np.argsort(-scores, kind="stable")] = np.clip(enough - np.arange(scores.size), 0, 1)
    return weights / enough


def seg_f1(
    masks: npt.ArrayLike,
    maps: npt.ArrayLike,
    level: float,
    images: Sequence[int] | None = None,
) -> float:
    """F1 of the pixels above a level that was fixed before, in [0, 1]: no choice on test data.

    Pixels of all images count together, ``map > level`` predicts defective. (SegF1 of
    Heckler-Kram et al., "The MVTec AD 2 Dataset", arXiv 2503.21622.)

    Args:
        masks: as for ``au_pro``; both 0 and 1 must occur.
        maps: as for ``au_pro``.
        level: of heat maps; from good images alone.
        images: positions of those that count; None: all.

    Raises:
        ValueError: naming what is missing or wrong.
    """
    flagged, anomalous, found = Planes.of(masks, maps, images).counts_above(level)
    return 2 * found / (flagged + anomalous)


def image_metrics(labels: npt.ArrayLike, scores: npt.ArrayLike) -> dict[str, float]:
    """image_auroc, image_ap and image_f1_max; arguments and errors are those of ``roc_auc``."""
    ranking = rank(*checked(labels, scores, _SAMPLES))
    return {
        "image_auroc": _roc_auc(ranking),
        "image_ap": _average_precision(ranking),
        "image_f1_max": _f1_max(ranking)[0],
    }


def roc_curve(labels: npt.ArrayLike, scores: npt.ArrayLike, max_points: int = 1000) -> Curve:
    """The ROC curve for drawing: false- and true-positive rates from (0, 0) to (1, 1).

    A longer curve is thinned to ``max_points`` (at least 2), so an area computed from it is not
    exact: take ``roc_auc``. Other arguments and errors are those of ``roc_auc``.
    """
    return thinned(rank(*checked(labels, scores, _SAMPLES)).curve(), max_points)


def pro_curve(
    masks: npt.ArrayLike,
    maps: npt.ArrayLike,
    fpr_limit: float = 0.3,
    max_points: int = 1000,
    counted: BoolArray | None = None,
    images: Sequence[int] | None = None,
) -> Curve:
    """The PRO curve for drawing: false-positive rate from 0 to ``fpr_limit``, and PRO.

    A longer curve is thinned to ``max_points`` (at least 2), so an area computed from it is not
    exact: take ``au_pro``. Other arguments and errors are those of ``au_pro``.
    """
    limit = _checked_limit(fpr_limit)
    ranking = Planes.of(masks, maps, images, counted).ranking()
    return thinned(up_to(ranking.curve(), limit), max_points)


def _roc_auc(ranking: Ranking) -> float:
    """Mann-Whitney's U over all pairs, in exact integers: a tie counts half."""
    positives = np.diff(ranking.true_positives, prepend=0)
    lost_twice = ranking.false_positives + ranking.false_positives_above
    pairs_twice = 2 * ranking.positives * ranking.negatives
    return 1 - int(positives @ lost_twice) / pairs_twice


def _average_precision(ranking: Ranking) -> float:
    positives = np.diff(ranking.true_positives, prepend=0)
    precision = ranking.true_positives / (ranking.true_positives + ranking.false_positives)
    return min(float(positives @ precision) / ranking.positives, 1.0)  # rounding may exceed 1


def _f1_max(ranking: Ranking) -> tuple[float, float]:
    flagged = ranking.true_positives + ranking.false_positives
    f1 = 2 * ranking.true_positives / (ranking.positives + flagged)
    best = int(np.argmax(f1))  # the first of equals, and scores descend
    return float(f1[best]), float(ranking.scores[best])


def _areas_up_to(curve: Curve, *fpr_limits: float) -> list[float]:
    """Area under the curve from 0 to each limit, over the limit."""
    areas = []
    for limit in fpr_limits:
        fpr, covered = up_to(curve, limit)
        areas.append(min(float(np.trapezoid(covered, fpr)) / limit, 1.0))  # rounding may exceed 1
    return areas


def _checked_limit(fpr_limit: float) -> float:
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit is {fpr_limit}: expected more than 0 and at most 1")
    return float(fpr_limit)

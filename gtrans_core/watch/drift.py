"""Do scores in use still look like those of the held-out good images? And if not, what to do.

Images in use include defects, and nobody knows which. So this claim is tested: *at least a share
1 - d of the images in use are good ones as the held-out ones were, the other images score no lower
than good ones*. Without defects, the share of images in use below the i-th lowest of m held-out
scores follows Beta(i, m + 1 - i), whatever the scores' distribution (in the limit of many images).
The most surprising of these m shares is the statistic, once in each direction:

- scores have fallen: too many images are below (defects, which score higher, cannot cause that);
- scores have risen: too few are, even if a share d of all images is taken out of the count.

Unlike Kolmogorov-Smirnov's, these statistics weigh the ends like the middle, so that a change of
spread is seen too. Their distributions under the claim's worst case depend on the two numbers of
images alone; they are simulated, not approximated, so p-values hold for 20 held-out images as for
2000. The smaller p-value counts twice (Bonferroni): P(drift is reported | claim) <= alpha. Ties and
bins, make both less surprising, never more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, betaincc

from gtrans_core.errors import ConfigError
from gtrans_core.watch.histogram import Counts, bin_of, counts_of, factor_of

Verdict = Literal["fine", "recalibrate", "retrain", "not enough images"]

DEFAULT_ALPHA = 0.01
DEFAULT_DEFECT_SHARE = 0.05
MINIMUM_IMAGES = 30
MINIMUM_HELD_OUT = 15
_ALPHAS = (0.001, 0.2)
_SIMULATIONS = 9999

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Drift:
    """A verdict and what it rests on.

    Attributes:
        verdict: ``fine``; ``recalibrate``: good scores moved by a factor, so must the threshold;
            ``retrain``: they moved too far or changed their spread; ``not enough images``.
        reason: one sentence.
        images: scores in use that were compared.
        held_out: held-out good scores that they were compared with.
        flagged: share of the images in use above the threshold, in [0, 1].
        p_value: of the claim that nothing changed; None without enough images.
        factor: median score in use over median good score; None without images.
        p_value_rescaled: of the claim that nothing but this factor changed; None unless needed.
        threshold: that of the model.
        alpha: false-alarm rate: how often a model that did not drift is reported.
        defect_share: largest share of defective images that is no drift.
    """

    verdict: Verdict
    reason: str
    images: int
    held_out: int
    flagged: float
    p_value: float | None
    factor: float | None
    p_value_rescaled: float | None
    threshold: float
    alpha: float
    defect_share: float

    @property
    def drifted(self) -> bool:
        """Whether something has to be done."""
        return self.verdict in ("recalibrate", "retrain")


def find_drift(
    held_out_scores: Sequence[float],
    threshold: float,
    in_use: Counts,
    *,
    alpha: float = DEFAULT_ALPHA,
    defect_share: float = DEFAULT_DEFECT_SHARE,
) -> Drift:
    """Compare scores in use with the held-out good ones.

    ``recalibrate`` needs both: once scores in use are divided by the factor between the medians,
    the same test finds nothing at ``alpha`` any more; and the median good image stays on its side
    of the threshold, that is, the factor lies between median / threshold and threshold / median.

    Args:
        held_out_scores: raw scores of the held-out good images.
        threshold: an image is flagged when its score is greater.
        in_use: histogram of scores in use.
        alpha: false-alarm rate, in [0.001, 0.2].
        defect_share: largest share of defective images in use, in [0, 0.5).

    Raises:
        ConfigError: for a rate or share out of its range.
    """
    _check(alpha, defect_share)
    good = counts_of(held_out_scores)
    found = Drift(
        verdict="not enough images",
        reason=f"at least {MINIMUM_IMAGES} images in use and {MINIMUM_HELD_OUT} held-out good ones "
        "are needed",
        images=in_use.total(),
        held_out=good.total(),
        flagged=_share_above(in_use, bin_of(threshold)),
        p_value=None,
        factor=None,
        p_value_rescaled=None,
        threshold=threshold,
        alpha=alpha,
        defect_share=defect_share,
    )
    if found.images < MINIMUM_IMAGES or found.held_out < MINIMUM_HELD_OUT:
        return found
    shift = _median(in_use) - _median(good)
    p_value = _p_value(good, in_use, defect_share)
    found = replace(found, p_value=p_value, factor=factor_of(shift))
    if p_value > alpha:
        return replace(found, verdict="fine", reason="the scores look as they did")
    rescaled = _p_value(good, _shifted(in_use, -shift), defect_share)
    found = replace(found, p_value_rescaled=rescaled)
    if rescaled <= alpha:
        reason = "scores changed their spread, or more images are defective than stated"
    elif abs(shift) > bin_of(threshold) - _median(good):
        reason = "good scores moved further than the threshold is away from them"
    else:
        reason = "good scores moved by a factor and nothing else; so must the threshold"
        return replace(found, verdict="recalibrate", reason=reason)
    return replace(found, verdict="retrain", reason=reason)


def _check(alpha: float, defect_share: float) -> None:
    low, high = _ALPHAS
    if not low <= alpha <= high:
        raise ConfigError(f"alpha is {alpha}: expected a false-alarm rate from {low} to {high}")
    if not 0 <= defect_share < 0.5:
        raise ConfigError(f"share of defects is {defect_share}: expected at least 0, below 0.5")


def _p_value(good: Counts, in_use: Counts, defect_share: float) -> float:
    """Of the claim (see above): at least 2 / (simulations + 1), at most 1."""
    fallen, risen = _statistics(good, in_use, defect_share)
    null_fallen, null_risen = _under_the_claim(good.total(), in_use.total(), defect_share)
    smaller = min(_exceeding(null_fallen, fallen), _exceeding(null_risen, risen))
    return min(1.0, 2 * smaller)


def _statistics(good: Counts, in_use: Counts, defect_share: float) -> tuple[float, float]:
    held_out = np.sort(list(good.elements()))
    bins = np.sort(list(in_use))
    total = np.concatenate([[0], np.cumsum([in_use[number] for number in bins])])
    # A tie counts against the surprise: as not below for the first, as below for the second.
    fallen = total[np.searchsorted(bins, held_out, "left")]
    risen = total[np.searchsorted(bins, held_out, "right")]
    images = in_use.total()
    return float(_fallen(fallen, images)), float(_risen(risen, images, defect_share))


def _fallen(below: Integers, images: int) -> Floats:
    """Surprise (-log of the smallest Beta tail) that so many images are below each score [..., m].

    The half image keeps shares of 0 and 1 apart from each other's neighbours: no tail is empty.
    """
    m = below.shape[-1]
    rank = np.arange(1, m + 1)
    share = (below + 0.5) / (images + 1)
    return np.asarray(-np.log(betaincc(rank, m + 1 - rank, share).min(axis=-1)))


def _risen(below: Integers, images: int, defect_share: float) -> Floats:
    """The same for so few, of the images that must be good."""
    m = below.shape[-1]
    rank = np.arange(1, m + 1)
    share = np.minimum((below + 0.5) / (images + 1) / (1 - defect_share), 1.0)
    return np.asarray(-np.log(betainc(rank, m + 1 - rank, share).min(axis=-1)))


@lru_cache(maxsize=8)
def _under_the_claim(held_out: int, images: int, defect_share: float) -> tuple[Floats, Floats]:
    """Both statistics in the claim's worst cases, simulated, sorted.

    For the first no image is defective; for the second as many as stated, all scoring highest. Of
    the images in use only how many fall between two held-out scores matters, so that a million of
    them cost no more than thirty.
    """
    rng = np.random.default_rng(0)
    between = rng.dirichlet(np.ones(held_out + 1), _SIMULATIONS)

    def below_each(good_images: int | Integers) -> Integers:
        return np.cumsum(rng.multinomial(good_images, between), axis=1)[:, :-1]

    fallen = _fallen(below_each(images), images)
    good_images = images - rng.binomial(images, defect_share, _SIMULATIONS)
    risen = _risen(below_each(good_images), images, defect_share)
    return np.sort(fallen), np.sort(risen)


def _exceeding(simulated: Floats, observed: float) -> float:
    """The share of the simulated statistics, and the observed one, that are at least as large."""
    smaller = int(np.searchsorted(simulated, observed - 1e-9))
    return (len(simulated) - smaller + 1) / (len(simulated) + 1)


def _median(counts: Counts) -> int:
    """The bin of the (lower) median."""
    bins = sorted(counts)
    below = np.cumsum([counts[number] for number in bins])
    return bins[int(np.searchsorted(below, counts.total() / 2))]


def _shifted(counts: Counts, bins: int) -> Counts:
    return Counts({number + bins: count for number, count in counts.items()})


def _share_above(counts: Counts, number: int) -> float:
    above = sum(count for other, count in counts.items() if other > number)
    return above / max(1, counts.total())

"""The test of drift, by simulation: how often it is wrong, and what it sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from gtrans_core.detector.thresholds import conformal_threshold
from gtrans_core.errors import ConfigError
from gtrans_core.watch.drift import MINIMUM_HELD_OUT, MINIMUM_IMAGES, find_drift
from gtrans_core.watch.histogram import Counts, counts_of

Scores = npt.NDArray[np.float64]
TRIALS = 1000
SEED = 20261124


def lognormal(rng: np.random.Generator, count: int) -> Scores:
    """Good scores that spread by 10 %."""
    return np.exp(rng.normal(0, 0.1, count))


def heavy_tailed(rng: np.random.Generator, count: int) -> Scores:
    return np.exp(0.05 * rng.standard_t(2, count))


def two_lines(rng: np.random.Generator, count: int) -> Scores:
    return np.where(rng.random(count) < 0.5, 1.0, 1.4) * np.exp(rng.normal(0, 0.02, count))


def verdicts(
    held_out: int,
    images: int,
    change: Callable[[Scores, np.random.Generator], Scores] = lambda scores, rng: scores,
    good: Callable[[np.random.Generator, int], Scores] = lognormal,
    alpha: float = 0.01,
    trials: int = TRIALS,
) -> Counter[str]:
    """How often each verdict is given, in per cent."""
    rng = np.random.default_rng(SEED)
    counts: Counter[str] = Counter()
    for _ in range(trials):
        reference = good(rng, held_out)
        in_use = change(good(rng, images), rng)
        threshold = conformal_threshold(reference, 0.1)
        found = find_drift(reference.tolist(), threshold, counts_of(in_use), alpha=alpha)
        counts[found.verdict] += 1
    return Counter({verdict: 100 * count / trials for verdict, count in counts.items()})


def with_defects(share: float, factor: float = 3.0):
    def change(scores: Scores, rng: np.random.Generator) -> Scores:
        scores[: rng.binomial(len(scores), share)] *= factor
        return scores

    return change


def at_most(alpha: float) -> float:
    """A false-alarm rate in per cent, with three standard deviations of the simulation."""
    return 100 * (alpha + 3 * np.sqrt(alpha * (1 - alpha) / TRIALS))


@pytest.mark.parametrize("good", [lognormal, heavy_tailed, two_lines])
@pytest.mark.parametrize(("held_out", "images"), [(15, 30), (24, 500), (100, 60)])
@pytest.mark.parametrize("share", [0.0, 0.05])
def test_false_alarms_are_as_rare_as_stated_with_and_without_defects(
    good, held_out: int, images: int, share: float
):
    found = verdicts(held_out, images, with_defects(share), good)
    assert 100 - found["fine"] <= at_most(0.01)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_the_rate_is_the_callers_and_the_test_is_not_idle(alpha: float):
    found = verdicts(24, 200, alpha=alpha)
    assert 100 * alpha / 4 <= 100 - found["fine"] <= at_most(alpha)


def test_defects_up_to_the_stated_share_are_no_drift_and_half_of_all_are():
    assert verdicts(24, 500, with_defects(0.05))["fine"] >= 98
    assert verdicts(24, 500, with_defects(0.5), trials=100)["retrain"] >= 90


def test_power_for_a_shift_by_one_and_a_half_standard_deviations():
    """Stated in docs/explanation/drift.md."""
    for factor in (0.85, 1.16):
        found = verdicts(24, 200, lambda scores, rng, f=factor: scores * f, trials=300)
        assert 100 - found["fine"] >= 90, factor


def test_more_held_out_images_see_smaller_shifts():
    def change(scores: Scores, rng: np.random.Generator) -> Scores:
        return scores * 1.07

    few, many = (verdicts(count, 300, change, trials=300)["fine"] for count in (24, 200))
    assert many < 5 < few


def test_a_factor_within_the_threshold_is_a_case_for_recalibration():
    found = verdicts(48, 300, lambda scores, rng: scores * 1.1, trials=300)
    assert found["recalibrate"] >= 80


def test_a_factor_that_leads_beyond_the_threshold_is_a_case_for_retraining():
    for factor in (1.5, 0.6):
        assert verdicts(48, 300, lambda scores, rng, f=factor: scores * f, trials=100) == {
            "retrain": 100
        }


def test_another_spread_is_a_case_for_retraining():
    found = verdicts(48, 300, lambda scores, rng: scores**0.4, trials=300)
    assert found["retrain"] >= 90


def test_the_evidence_is_in_the_answer():
    rng = np.random.default_rng(SEED)
    held_out = lognormal(rng, 60)
    found = find_drift(held_out.tolist(), 1.25, counts_of(1.12 * lognormal(rng, 400)))
    assert found.verdict == "recalibrate"
    assert found.drifted
    assert found.factor == pytest.approx(1.12, abs=0.03)
    assert found.p_value is not None
    assert found.p_value <= 0.01
    assert found.p_value_rescaled is not None
    assert found.p_value_rescaled > 0.01
    assert (found.images, found.held_out) == (400, 60)
    assert found.flagged == pytest.approx(0.13, abs=0.05)


def test_the_same_scores_give_the_same_p_value():
    scores = lognormal(np.random.default_rng(SEED), 60).tolist()
    assert find_drift(scores, 2.0, counts_of(scores)) == find_drift(scores, 2.0, counts_of(scores))


@pytest.mark.parametrize(
    ("held_out", "images"), [(MINIMUM_HELD_OUT - 1, 1000), (100, MINIMUM_IMAGES - 1), (100, 0)]
)
def test_too_few_images_are_said_to_be_too_few(held_out: int, images: int):
    found = find_drift([1.0] * held_out, 2.0, Counts({10_000: images}))
    assert (found.verdict, found.p_value, found.drifted) == ("not enough images", None, False)
    assert "at least 30 images in use and 15" in found.reason


def test_a_million_images_are_no_effort():
    found = find_drift(lognormal(np.random.default_rng(0), 50).tolist(), 2.0, Counts({0: 10**6}))
    assert found.verdict == "retrain"


@pytest.mark.parametrize(("alpha", "share"), [(0.0, 0.05), (0.5, 0.05), (0.01, 0.5), (0.01, -0.1)])
def test_values_out_of_range_are_refused(alpha: float, share: float):
    with pytest.raises(ConfigError, match="expected"):
        find_drift([1.0] * 20, 2.0, Counts({0: 40}), alpha=alpha, defect_share=share)

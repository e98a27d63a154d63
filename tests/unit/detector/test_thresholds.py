"""The conformal threshold's order statistic, its guarantee, and its refusals."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gtrans_core.detector.thresholds import conformal_threshold, needed_images, promised_threshold

PERCENTS = [f"0.{step:03d}" for step in range(1, 1000)]


def test_golden():
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))  # 1 .. 19
    assert conformal_threshold(scores, 0.05) == 19.0
    assert conformal_threshold(scores, 0.1) == 18.0
    assert conformal_threshold(scores, 0.5) == 10.0


@pytest.mark.parametrize("n", [1, 4, 9, 19, 24, 39, 99, 199, 999])
def test_the_order_statistic_is_exact_on_a_grid(n):
    scores = np.arange(1, n + 1)
    for text in PERCENTS:
        k = int(((n + 1) * (1 - Decimal(text))).to_integral_value(ROUND_CEILING))
        if k <= n:
            assert conformal_threshold(scores, float(text)) == k
        else:
            with pytest.raises(ValueError, match="needs at least"):
                conformal_threshold(scores, float(text))


def test_where_floats_would_round_up():
    assert 10 * (1 - 0.7) > 3
    assert conformal_threshold(np.arange(1, 10), 0.7) == 3


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=40, unique=True),
    st.integers(1, 99).map(lambda percent: percent / 100),
)
@settings(deadline=None)
def test_share_of_flagged_good_images_is_at_most_alpha(values, alpha):
    """Each of n + 1 exchangeable images is equally likely the new one: leave each out in turn."""
    images = np.array(values) / 7
    if len(images) - 1 < needed_images(alpha):
        return
    flagged = share_flagged(images, alpha)
    exact = Fraction(str(alpha))
    assert exact - Fraction(1, len(images)) < flagged <= exact


@given(
    st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=20, max_size=40),
    st.integers(5, 99).map(lambda percent: percent / 100),
)
@settings(deadline=None)
def test_ties_only_lower_the_share(values, alpha):
    assert share_flagged(np.array(values), alpha) <= Fraction(str(alpha))


@pytest.mark.parametrize(
    ("alpha", "needed"),
    [(0.05, 19), (0.1, 9), (0.01, 99), (0.3, 3), (0.5, 1), (0.9, 1), (1e-3, 999)],
)
def test_needed_images(alpha, needed):
    assert needed_images(alpha) == needed


def test_needed_is_the_fewest_on_a_grid():
    for text in PERCENTS:
        n = needed_images(float(text))
        assert Decimal(text) * (n + 1) >= 1
        assert n == 1 or Decimal(text) * n < 1


def test_numpy_scalars_are_read_as_written():
    scores = np.arange(1, 20, dtype=np.float32)
    assert conformal_threshold(scores, np.float32(0.05)) == 19.0
    assert conformal_threshold(scores, np.float64(0.05)) == 19.0


def test_threshold_is_one_of_the_scores():
    scores = np.random.default_rng(1).random(30, dtype=np.float32)
    threshold = conformal_threshold(scores, 0.05)
    assert type(threshold) is float
    assert int((scores > threshold).sum()) == 0
    assert int((scores == threshold).sum()) == 1


def test_too_few_images_states_how_many():
    with pytest.raises(ValueError, match=r"0\.05 needs at least 19 held-out good images.*are 18"):
        conformal_threshold(np.arange(18.0), 0.05)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([], r"shape \(0,\)"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
        ([1.0, np.nan], "not finite"),
        ([np.inf, 1.0], "not finite"),
    ],
)
def test_bad_scores_are_refused(scores, message):
    with pytest.raises(ValueError, match=message):
        conformal_threshold(scores, 0.5)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_bad_alpha_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha is"):
        conformal_threshold([1.0, 2.0], alpha)
    with pytest.raises(ValueError, match="alpha is"):
        needed_images(alpha)


def share_flagged(images, alpha):
    """The share flagged when each image in turn is new and the others are held out."""
    flagged = [
        images[i] > conformal_threshold(np.delete(images, i), alpha) for i in range(len(images))
    ]
    return Fraction(sum(map(int, flagged)), len(images))


@pytest.mark.parametrize("count", [1, 2, 6, 12, 18, 19, 60])
def test_too_few_images_promise_what_they_can(count: int) -> None:
    """Also where 1 / (n + 1) has no exact decimal."""
    scores = np.arange(count, dtype=float)
    threshold, rate = promised_threshold(scores, 0.05)
    if count < 19:
        assert (threshold, rate) == (count - 1, 1 / (count + 1))
    else:
        assert (threshold, rate) == (conformal_threshold(scores, 0.05), 0.05)

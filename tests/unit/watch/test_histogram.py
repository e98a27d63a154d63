"""Bins: narrow, monotone, a factor is a shift."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.watch.histogram import BINS_PER_E, bin_of, counts_of, factor_of, score_of

scores = st.floats(1e-6, 1e6)


@given(scores)
def test_a_bin_stands_for_its_scores_within_a_fifth_of_a_per_cent(score: float):
    assert score_of(bin_of(score)) == pytest.approx(score, rel=0.0011)


@given(scores, scores)
def test_bins_are_in_the_order_of_the_scores(a: float, b: float):
    assert (a <= b) <= (bin_of(a) <= bin_of(b))


@given(scores, st.integers(-1000, 1000))
def test_a_factor_is_a_shift_by_whole_bins(score: float, bins: int):
    assert bin_of(score * factor_of(bins)) == pytest.approx(bin_of(score) + bins, abs=1)


def test_zero_and_less_share_the_lowest_bin():
    assert bin_of(0.0) == bin_of(-1.0) < bin_of(1e-9)


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(score: float):
    with pytest.raises(ValueError, match="expected a finite number"):
        bin_of(score)


def test_histograms_add_up():
    assert counts_of([1.0, 1.0, 2.0]) + counts_of([1.0]) == counts_of([1.0, 1.0, 1.0, 2.0])
    assert BINS_PER_E == 500  # files in stores depend on it

"""Metrics against scikit-learn, against an exact brute-force AU-PRO, and by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.ndimage import gaussian_filter
from sklearn import metrics as reference

from gtrans_core.evaluation import metrics

GOLDEN_MASKS = np.array(
    [
        [[1, 0, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1]],  # a diagonal pair is one region
        [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],  # a normal image
    ]
)
GOLDEN_MAPS = np.array(
    [
        [[9, 1, 1, 1, 1], [1, 4, 1, 1, 1], [1, 1, 1, 1, 6]],
        [[6, 6, 5, 1, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
    ],
    dtype=np.float32,
)


class TestAgainstScikitLearn:
    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_equal_on_tied_scores(self, data):
        labels = data.draw(arrays.arrays(np.int8, st.integers(2, 40), elements=st.integers(0, 1)))
        assume(0 < labels.sum() < labels.size)
        few_values = st.sampled_from([-3.5, -0.0, 0.0, 1e-30, 2.0, 2.0000000001, 1e6])
        scores = data.draw(arrays.arrays(np.float64, labels.shape, elements=few_values))
        assert_equals_scikit_learn(labels, scores)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64])
    @pytest.mark.parametrize("decimals", [1, 3, 12])
    @pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
    def test_equal_on_continuous_scores(self, dtype, decimals, share):
        generator = np.random.default_rng(3)
        labels = generator.random(5000) < share
        scores = np.round(generator.normal(size=5000) + labels, decimals).astype(dtype)
        assert_equals_scikit_learn(labels, scores)

    def test_pixels_are_flattened(self):
        masks, maps = random_split(seed=1)
        assert metrics.roc_auc(masks, maps) == metrics.roc_auc(masks.ravel(), maps.ravel())
        assert_equals_scikit_learn(masks, maps)

    def test_full_roc_curve(self):
        generator = np.random.default_rng(5)
        labels = generator.random(300) < 0.3
        scores = np.round(generator.normal(size=300) + labels, 1)
        fpr, tpr = metrics.roc_curve(labels, scores)
        expected_fpr, expected_tpr, _ = reference.roc_curve(labels, scores, drop_intermediate=False)
        assert np.trapezoid(tpr, fpr) == pytest.approx(metrics.roc_auc(labels, scores), abs=1e-12)
        corners = set(zip(fpr.tolist(), tpr.tolist(), strict=True))
        steps = list(zip(expected_fpr.tolist(), expected_tpr.tolist(), strict=True))
        rising = [steps[i] for i in range(1, len(steps)) if steps[i][1] > steps[i - 1][1]]
        assert corners.issuperset(rising)


class TestF1Max:
    def test_threshold_reaches_the_value(self):
        generator = np.random.default_rng(7)
        labels = generator.random(1000) < 0.2
        scores = (generator.normal(size=1000) + labels).astype(np.float32)
        value, threshold = metrics.f1_max(labels, scores)
        assert threshold in scores
        assert reference.f1_score(labels, scores >= threshold) == pytest.approx(value, abs=1e-12)

    def test_of_equals_the_highest_threshold(self):
        # Flagging the top one, 2*1/(2+1), or all four, 2*2/(2+4), both give 2/3.
        assert metrics.f1_max([1, 0, 0, 1], [4.0, 3.0, 2.0, 1.0]) == (2 / 3, 4.0)


class TestAuPro:
    def test_golden_by_hand(self):
        # Regions: {9, 4} and {6}; 27 normal pixels: 6, 6, 5 and 24 ones.
        # Threshold: 9 -> (0, 1/4); 6 -> (2/27, 3/4); 5 -> (3/27, 3/4); 4 -> (3/27, 1); 1 -> (1, 1)
        rise, flat, rest = 2 / 27 * (1 / 4 + 3 / 4) / 2, 1 / 27 * 3 / 4, 0.3 - 3 / 27
        expected = (rise + flat + rest) / 0.3
        assert metrics.au_pro(GOLDEN_MASKS, GOLDEN_MAPS) == pytest.approx(expected, abs=1e-14)
        at_limit = 1 / 4 + (3 / 4 - 1 / 4) * 0.05 / (2 / 27)  # inside the tied step
        expected = (1 / 4 + at_limit) / 2
        assert metrics.au_pro(GOLDEN_MASKS, GOLDEN_MAPS, 0.05) == pytest.approx(expected, abs=1e-14)

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_equals_brute_force(self, data):
        shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(1, 5)))
        masks = data.draw(arrays.arrays(np.uint8, shape, elements=st.integers(0, 1)))
        assume(0 < masks.sum() < masks.size)
        maps = data.draw(arrays.arrays(np.float32, shape, elements=st.integers(0, 6)))
        limit = data.draw(st.sampled_from([0.05, 0.3, 0.5, 1.0]) | st.floats(0.001, 1.0))
        value = metrics.au_pro(masks, maps, limit)
        assert value == pytest.approx(brute_force_au_pro(masks, maps, limit), abs=1e-12)
        assert 0 <= value <= 1

    def test_equals_brute_force_on_smooth_maps(self):
        masks, maps = random_split(seed=2, images=4, side=12)
        for limit in (0.05, 0.3):
            expected = brute_force_au_pro(masks, maps, limit)
            assert metrics.au_pro(masks, maps, limit) == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
    def test_constant_map_is_the_diagonal(self, limit):
        value = metrics.au_pro(GOLDEN_MASKS, np.full(GOLDEN_MASKS.shape, 0.7), limit)
        assert value == pytest.approx(limit / 2, abs=1e-15)

    def test_perfect_and_worst_map(self):
        assert metrics.au_pro(GOLDEN_MASKS, GOLDEN_MASKS.astype(np.float32)) == 1.0
        assert metrics.au_pro(GOLDEN_MASKS, -GOLDEN_MASKS.astype(np.float32)) == 0.0

    def test_two_valued_map(self):
        # The loop over 200 evenly spaced thresholds drops every point here and returns nan.
        maps = np.where(GOLDEN_MAPS > 5, 1.0, 0.0)  # (2/27, 3/4), then (1, 1)
        at_limit = 3 / 4 + (1 / 4) * (0.3 - 2 / 27) / (25 / 27)
        expected = (2 / 27 * (3 / 4) / 2 + (0.3 - 2 / 27) * (3 / 4 + at_limit) / 2) / 0.3
        assert metrics.au_pro(GOLDEN_MASKS, maps) == pytest.approx(expected, abs=1e-14)

    def test_regions_touch_diagonally_but_not_across_images(self):
        masks = np.zeros((2, 2, 2), dtype=np.uint8)
        masks[0, 0, 0] = masks[0, 1, 1] = 1  # one region of two pixels
        masks[1, 0, 0] = 1  # another, though beside it in the stack
        maps = np.zeros(masks.shape)
        maps[1, 0, 0] = 1.0  # covers one of two regions; two pixels of three were 2/3 of one
        fpr, pro = metrics.pro_curve(masks, maps, fpr_limit=1.0)
        assert 0.5 in pro[fpr == 0]

    def test_normal_images_count_in_the_false_positive_rate(self):
        masks, maps = random_split(seed=4)
        quiet = np.full((len(maps), *maps.shape[1:]), maps.min() - 1)
        with_normal = metrics.au_pro(np.concatenate([masks, 0 * masks]), np.r_[maps, quiet])
        assert with_normal > metrics.au_pro(masks, maps)


class TestScale:
    """Only the order of scores matters, at whatever precision they come."""

    @given(
        arrays.arrays(np.float64, GOLDEN_MASKS.shape, elements=st.integers(-20, 20)),
        st.sampled_from([np.exp2, lambda s: s**3, lambda s: s / 7, lambda s: 1e6 * s - 4e7]),
    )
    @settings(max_examples=100, deadline=None)
    def test_invariant_under_increasing_transforms(self, maps, transform):
        transformed = metrics.pixel_metrics(GOLDEN_MASKS, transform(maps))
        assert transformed == metrics.pixel_metrics(GOLDEN_MASKS, maps)

    def test_scores_outside_the_unit_interval_stay_distinct(self):
        # Through a sigmoid in float32 these all become 1.0: AUROC 0.5.
        labels, scores = [0, 0, 1, 1], np.array([100, 101, 102, 103], dtype=np.float32)
        assert metrics.roc_auc(labels, scores) == 1.0

    def test_float64_keeps_what_float32_would_tie(self):
        scores = np.array([1.0, 1.0 + 1e-12])
        assert metrics.roc_auc([0, 1], scores) == 1.0
        assert metrics.roc_auc([0, 1], scores.astype(np.float32)) == 0.5

    def test_integers_keep_what_float32_would_tie(self):
        assert metrics.roc_auc([0, 1], np.array([2**24, 2**24 + 1])) == 1.0

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
    def test_exact_in_any_dtype(self, dtype):
        narrow = metrics.pixel_metrics(GOLDEN_MASKS, GOLDEN_MAPS.astype(dtype))
        assert narrow == metrics.pixel_metrics(GOLDEN_MASKS, GOLDEN_MAPS.astype(np.float64))

    def test_inputs_are_left_alone(self):
        masks, maps = random_split(seed=6)
        before = maps.copy()
        metrics.pixel_metrics(masks, maps)
        np.testing.assert_array_equal(maps, before)


class TestTogether:
    def test_pixel_metrics_are_the_single_ones(self):
        masks, maps = random_split(seed=8)
        assert metrics.pixel_metrics(masks, maps) == {
            "pixel_auroc": metrics.roc_auc(masks, maps),
            "pixel_ap": metrics.average_precision(masks, maps),
            "pixel_f1_max": metrics.f1_max(masks, maps)[0],
            "au_pro_30": metrics.au_pro(masks, maps, 0.3),
            "au_pro_05": metrics.au_pro(masks, maps, 0.05),
        }

    @pytest.mark.parametrize("level", [-1.0, 0.3, 0.5, 9.0])
    def test_seg_f1_is_that_of_scikit_learn(self, level):
        masks, maps = random_split(seed=11)
        maps[0, 0, 0] = level  # a pixel at the level is not flagged
        expected = reference.f1_score(masks.ravel(), maps.ravel() > level, zero_division=0.0)
        assert metrics.seg_f1(masks, maps, level) == pytest.approx(expected, abs=1e-12)

    def test_image_metrics_are_the_single_ones(self):
        labels, scores = [0, 1, 1, 0, 1], [0.1, 0.3, 0.2, 0.2, 0.9]
        result = metrics.image_metrics(labels, scores)
        assert result == {
            "image_auroc": metrics.roc_auc(labels, scores),
            "image_ap": metrics.average_precision(labels, scores),
            "image_f1_max": metrics.f1_max(labels, scores)[0],
        }
        assert {type(value) for value in result.values()} == {float}


class TestCurves:
    @pytest.mark.parametrize("max_points", [2, 50, 1000])
    def test_thinned_curve_follows_the_full_one(self, max_points):
        masks, maps = random_split(seed=9, images=20, side=64)
        for curve, limit in ((metrics.roc_curve, 1.0), (metrics.pro_curve, 0.3)):
            options = {} if limit == 1.0 else {"fpr_limit": limit}
            full = curve(masks, maps, **options, max_points=10**9)
            fpr, share = curve(masks, maps, **options, max_points=max_points)
            assert 2 <= len(fpr) == len(share) <= max_points < len(full[0])
            assert (fpr[0], share[0], fpr[-1], share[-1]) == (0, 0, limit, full[1][-1])
            assert set(zip(fpr, share, strict=True)) <= set(zip(*full, strict=True))
            gap, step = np.diff(fpr / limit + share).max(), np.diff(full[0] / limit + full[1]).max()
            assert gap <= step + (1 + share[-1]) / (max_points - 1) + 1e-12

    def test_full_pro_curve_has_the_area(self):
        masks, maps = random_split(seed=10)
        fpr, pro = metrics.pro_curve(masks, maps, 0.3, max_points=10**9)
        assert np.trapezoid(pro, fpr) / 0.3 == pytest.approx(metrics.au_pro(masks, maps), abs=1e-12)

    def test_one_point_is_no_curve(self):
        with pytest.raises(ValueError, match="max_points is 1"):
            metrics.roc_curve([0, 1], [0.0, 1.0], max_points=1)


IMAGE_METRICS = [metrics.roc_auc, metrics.average_precision, metrics.f1_max, metrics.image_metrics]
PIXEL_METRICS = [metrics.au_pro, metrics.pixel_metrics, metrics.pro_curve]


class TestRefusals:
    @pytest.mark.parametrize("metric", IMAGE_METRICS)
    @pytest.mark.parametrize(
        ("labels", "scores", "message"),
        [
            ([0, 0], [0.1, 0.2], r"labels hold no anomalous sample \(1\)"),
            ([1, 1], [0.1, 0.2], r"labels hold no normal sample \(0\)"),
            ([], [], "labels hold no anomalous sample"),
            ([0, 1, 1], [0.1, 0.2], r"labels have shape \(3,\) and scores \(2,\)"),
            ([0, 2], [0.1, 0.2], "labels hold values other than 0 and 1"),
            ([0, 1], [0.1, np.nan], "scores hold values that are not finite"),
            ([0, 1], [-np.inf, 0.1], "scores hold values that are not finite"),
            ([0, 1], ["a", "b"], "scores have dtype"),
        ],
    )
    def test_samples(self, metric, labels, scores, message):
        with pytest.raises(ValueError, match=message):
            metric(np.array(labels), np.array(scores))

    @pytest.mark.parametrize("metric", PIXEL_METRICS)
    @pytest.mark.parametrize(
        ("masks", "maps", "message"),
        [
            (0 * GOLDEN_MASKS, GOLDEN_MAPS, r"masks hold no anomalous pixel \(1\)"),
            (0 * GOLDEN_MASKS + 1, GOLDEN_MAPS, r"masks hold no normal pixel \(0\)"),
            (GOLDEN_MASKS, GOLDEN_MAPS[:, :2], "masks have shape .* and maps"),
            (GOLDEN_MASKS[0], GOLDEN_MAPS[0], r"expected \[N, H, W\]"),
            (255 * GOLDEN_MASKS, GOLDEN_MAPS, "masks hold values other than 0 and 1"),
            (GOLDEN_MASKS / 2, GOLDEN_MAPS, "masks hold values other than 0 and 1"),
            (GOLDEN_MASKS, GOLDEN_MAPS * np.inf, "maps hold values that are not finite"),
        ],
    )
    def test_pixels(self, metric, masks, maps, message):
        with pytest.raises(ValueError, match=message):
            metric(masks, maps)

    @pytest.mark.parametrize("limit", [0.0, -0.1, 1.01, float("nan")])
    def test_limits(self, limit):
        for metric in (metrics.au_pro, metrics.pro_curve):
            with pytest.raises(ValueError, match="fpr_limit is"):
                metric(GOLDEN_MASKS, GOLDEN_MAPS, limit)


def assert_equals_scikit_learn(labels, scores):
    flat_labels, flat_scores = np.ravel(labels), np.ravel(scores)
    auroc = reference.roc_auc_score(flat_labels, flat_scores)
    precision_mean = reference.average_precision_score(flat_labels, flat_scores)
    precision, recall, _ = reference.precision_recall_curve(flat_labels, flat_scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
    assert metrics.roc_auc(labels, scores) == pytest.approx(auroc, abs=1e-9)
    assert metrics.average_precision(labels, scores) == pytest.approx(precision_mean, abs=1e-9)
    assert metrics.f1_max(labels, scores)[0] == pytest.approx(f1.max(), abs=1e-9)


def random_split(seed, images=6, side=32):
    """Smooth noise, brighter on one or two blobs an image; the last image is normal."""
    generator = np.random.default_rng(seed)
    maps = gaussian_filter(generator.normal(size=(images, side, side)), (0, 2, 2))
    masks = gaussian_filter(generator.normal(size=(images, side, side)), (0, 2, 2)) > 0.25
    masks[-1] = False
    return masks, (maps + 0.2 * masks).astype(np.float32)


def brute_force_au_pro(masks, maps, limit):
    """AU-PRO in exact fractions, one pass over all pixels for every distinct score."""
    regions = [region for mask in enumerate(masks) for region in flood_fill(*mask)]
    normal = [float(score) for score in maps[masks == 0]]
    points = [(Fraction(0), Fraction(0))]
    for threshold in sorted({float(score) for score in maps.ravel()}, reverse=True):
        false = sum(score >= threshold for score in normal)
        covered = [
            Fraction(sum(float(maps[pixel]) >= threshold for pixel in region), len(region))
            for region in regions
        ]
        points.append((Fraction(false, len(normal)), sum(covered) / len(regions)))
    area, end = Fraction(0), Fraction(limit)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 < x1 and x0 < end:
            stop = min(x1, end)
            at_stop = y0 + (y1 - y0) * (stop - x0) / (x1 - x0)
            area += (stop - x0) * (y0 + at_stop) / 2
    return float(area / end)


def flood_fill(image, mask):
    """8-connected regions of one mask, each a list of (image, row, column)."""
    left = {(int(y), int(x)) for y, x in np.argwhere(mask)}
    while left:
        region, frontier = [], [left.pop()]
        while frontier:
            y, x = frontier.pop()
            region.append((image, y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            frontier.extend(near)
        yield region

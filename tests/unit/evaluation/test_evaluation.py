"""What follows from scores: per-defect results, and nothing that a missing mask could break."""

from dataclasses import replace

import pytest

from gtrans_core.config import ImageConfig
from gtrans_core.drawing.gallery import draw_gallery
from gtrans_core.drawing.shown import Gallery
from gtrans_core.evaluation.evaluation import (
    PIXEL_METRICS,
    Evaluation,
    defect_results,
    split_metrics,
)
from gtrans_core.evaluation.image_table import image_results
from tests.support.evaluations import evaluation, masks_of

KINDS = ["good", "good", "dent", "dent", "crack"]
SCORES = [0.1, 0.4, 0.3, 0.9, 0.8]


def gallery(scored: Evaluation, threshold: float) -> Gallery:
    rows = image_results(scored, threshold, 0.5, ImageConfig(size=32))
    return draw_gallery(scored, rows, split_metrics(scored, 0.5), threshold, 0.5, [0.1, 0.2], [], 1)


def test_each_defect_is_judged_against_all_good_images_and_the_hardest_comes_first():
    scored = evaluation(KINDS, SCORES, masks_of(2, 3, 4, count=5))
    dent, crack = defect_results(scored, threshold=0.4)
    assert (dent.defect, dent.images, dent.caught, dent.image_auroc) == ("dent", 2, 1, 0.75)
    assert (crack.defect, crack.images, crack.caught, crack.image_auroc) == ("crack", 1, 1, 1.0)


def test_a_score_at_the_threshold_is_not_caught():
    scored = evaluation(KINDS, SCORES, None)
    caught = {r.defect: r.caught for r in defect_results(scored, threshold=0.8)}
    assert caught == {"dent": 1, "crack": 0}


def test_without_masks_pixel_metrics_are_none_and_image_metrics_are_there():
    metrics = split_metrics(evaluation(KINDS, SCORES, None), 0.5)
    assert metrics["image_auroc"] == pytest.approx(5 / 6)
    assert all(metrics[name] is None for name in PIXEL_METRICS)
    assert all(r.au_pro_30 is None for r in defect_results(evaluation(KINDS, SCORES, None), 0.5))


def test_a_defect_that_no_mask_shows_has_no_au_pro_and_breaks_nothing():
    """A centre crop can hide every pixel of a kind of defect."""
    scored = evaluation(KINDS, SCORES, masks_of(2, 3, count=5))
    results = {r.defect: r.au_pro_30 for r in defect_results(scored, threshold=0.5)}
    assert results["crack"] is None
    assert results["dent"] is not None
    hidden = split_metrics(evaluation(KINDS, SCORES, masks_of(count=5)), 0.5)
    assert all(hidden[name] is None for name in PIXEL_METRICS)


def test_an_image_that_nobody_drew_counts_by_image_and_not_by_pixel():
    whole = evaluation(KINDS[:4], SCORES[:4], masks_of(2, 3, count=4))
    scored = replace(evaluation(KINDS, SCORES, masks_of(2, 3, count=5)), undrawn=frozenset({4}))
    metrics, of_whole = split_metrics(scored, 0.5), split_metrics(whole, 0.5)
    assert {n: metrics[n] for n in PIXEL_METRICS} == {n: of_whole[n] for n in PIXEL_METRICS}
    assert metrics["image_auroc"] != of_whole["image_auroc"]
    found = {r.defect: (r.images, r.caught, r.au_pro_30) for r in defect_results(scored, 0.4)}
    assert found["crack"] == (1, 1, None)
    assert image_results(scored, 0.4, 0.5, ImageConfig(size=32))[4].defect_area is None
    assert "pro" in gallery(scored, 0.4).files


def test_the_gallery_of_hidden_defects_has_no_pixel_curve():
    scored = evaluation(KINDS, SCORES, masks_of(count=5))
    pictures = gallery(scored, 0.4).files
    assert "roc" in pictures
    assert "pro" not in pictures
    assert "pro" in gallery(evaluation(KINDS, SCORES, masks_of(2, 3, 4, count=5)), 0.4).files


@pytest.mark.parametrize(
    ("kinds", "known"),
    [([], set()), (["good", "good"], set()), (["dent", "crack"], {*PIXEL_METRICS})],
    ids=["nothing", "good ones only", "defects only"],
)
def test_what_the_split_cannot_tell_is_not_available(kinds: list[str], known: set[str]):
    count = len(kinds)
    scored = evaluation(kinds, [0.1, 0.4][:count], masks_of(*range(count), count=count))
    if "good" in kinds:
        scored = replace(scored, masks=None)
    metrics = split_metrics(scored, 0.5)
    assert {name for name, value in metrics.items() if value is not None} == known
    pictures = gallery(scored, 0.2).files
    assert {n for n in pictures if n.startswith("heat_maps")} == {f"heat_maps_{k}" for k in kinds}
    assert "roc" not in pictures
    for result in defect_results(scored, threshold=0.2):
        assert result.image_auroc is None
        assert result.caught == (result.defect == "crack")

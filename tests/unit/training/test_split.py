"""Who learns from which image, and which of them set the threshold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.config import load_config
from gtrans_core.detector.thresholds import needed_images
from gtrans_core.errors import TrainingError
from gtrans_core.network.score import trans_share
from gtrans_core.training.closed_form import read_out_of_fold
from gtrans_core.training.key import training_key
from gtrans_core.training.split import FOLDS, FOLDS_OF_MANY, hold_out, split_images

BEST = "training.selection=best_held_out"
HELD_OUT = "training.calibration=held_out"
TRANS_ALONE = ("scoring.scene_share=0", "scoring.memory_share=0")


def names(count: int) -> list[str]:
    return [f"{number:064x}" for number in range(count)]


@pytest.mark.parametrize("count", [93, 209])
def test_trans_leaves_out_a_share_and_everything_else_learns_from_all(count: int):
    config = load_config()
    training, watched = hold_out(names(count), 0.2, 0)
    split = split_images(names(count), config)
    assert (split.training, split.watched) == (tuple(training), tuple(watched))
    assert split.is_cross_fitted
    assert split.fitted == tuple(range(count))
    assert split.new_to_trans == split.watched
    assert split.is_usual(config)
    assert len(split.folds()) == (FOLDS if count < 100 else FOLDS_OF_MANY)


@pytest.mark.parametrize("count", [93, 209])
def test_a_share_is_held_out_of_everything_where_that_is_wanted(count: int):
    """And Trans is the same, so that its training is shared."""
    config = load_config(overrides=[HELD_OUT])
    split, usual = split_images(names(count), config), split_images(names(count), load_config())
    assert (split.training, split.watched) == (usual.training, usual.watched)
    assert split.calibration == split.watched == split.new_to_trans
    assert split.fitted == split.training
    assert split.is_usual(config)
    assert training_key("0" * 64, config) == training_key("0" * 64, load_config())


@pytest.mark.parametrize("count", [5, 12, 20, 60, 92])
def test_with_fewer_every_image_serves_all(count: int):
    config = load_config()
    split = split_images(names(count), config)
    assert split.training == split.fitted == tuple(range(count))
    assert (split.watched, split.calibration) == ((), ())
    assert split.new_to_trans == split.fitted
    assert split.is_cross_fitted
    assert not split.is_usual(config)
    folds = split.folds()
    assert len(folds) == min(count, FOLDS)
    assert sorted(position for fold in folds for position in fold) == list(range(count))


def test_the_wanted_rate_decides():
    lax = load_config(overrides=[HELD_OUT, "evaluation.false_alarm_rate=0.1"])
    assert not split_images(names(60), lax).is_cross_fitted
    strict = load_config(overrides=[HELD_OUT, "evaluation.false_alarm_rate=0.01"])
    assert split_images(names(209), strict).is_cross_fitted


@given(st.integers(5, 300), st.sampled_from(["last", "best_held_out"]), st.floats(0.05, 0.9))
def test_nobody_learns_from_what_sets_the_threshold(count: int, selection: str, share: float):
    for scene_share, calibration in ((0, "held_out"), (0.9, "held_out"), (0.9, "cross_fitted")):
        overrides = [f"training.selection={selection}", f"training.held_out_fraction={share}"]
        overrides.append(f"training.calibration={calibration}")
        overrides.append(f"scoring.scene_share={scene_share}")
        split = split_images(names(count), load_config(overrides=overrides))
        assert split.training
        assert not {*split.training} & {*split.watched, *split.calibration}
        assert not {*split.fitted} & {*split.calibration}
        assert split.images == count
        if selection == "best_held_out":
            assert not {*split.watched} & {*split.calibration}
            assert split.watched
        assert split.new_to_trans


def test_other_images_choose_the_epoch_than_set_the_threshold():
    split = split_images(names(209), load_config(overrides=[BEST, HELD_OUT]))
    assert (len(split.training), len(split.watched), len(split.calibration)) == (167, 21, 21)
    few = split_images(names(150), load_config(overrides=[BEST, HELD_OUT]))
    assert few.is_cross_fitted
    assert (len(few.training), len(few.watched), len(few.fitted)) == (135, 15, 150)
    cross_fitted = split_images(names(209), load_config(overrides=[BEST]))
    assert (len(cross_fitted.training), len(cross_fitted.watched)) == (167, 42)


@pytest.mark.parametrize(("count", "held_out"), [(5, 2), (12, 6), (20, 10), (60, 19), (209, 42)])
def test_where_trans_scores_alone_more_are_held_out_instead(count: int, held_out: int):
    """Trans is not trained anew for each fold."""
    split = split_images(names(count), load_config(overrides=TRANS_ALONE))
    assert len(split.calibration) == held_out
    assert held_out >= min(needed_images(0.05), count // 2)


@pytest.mark.parametrize(
    ("overrides", "share"),
    [
        ((), 0.0),  # the default: Trans is read for the heat map alone
        (TRANS_ALONE, 1.0),
        (("scoring.scene_share=0",), 0.5),  # the patch memory has the other half
        (("scoring.scene_share=0.2", "scoring.memory_share=0", "scoring.trans_maps=0"), 0.8),
        (("scoring.scene_share=0", "research.fusion=sum"), 1.0),
    ],
)
def test_what_trans_has_of_an_images_score_decides(overrides: tuple[str, ...], share: float):
    config = load_config(overrides=overrides)
    assert trans_share(config) == pytest.approx(share)
    assert split_images(names(20), config).is_cross_fitted == (share <= 0.5)


def test_one_image_is_refused():
    with pytest.raises(TrainingError, match="1 good training images cannot be split"):
        split_images(names(1), load_config())


def test_each_image_is_scored_by_what_never_saw_it():
    split = split_images(names(45), load_config())
    fitted: list[list[int]] = []

    def fit(positions):
        fitted.append(list(positions))
        return lambda position: position + 1000.0 * (position in positions)

    progress: list[tuple[int, int]] = []
    scores = read_out_of_fold(split, fit, lambda done, total: progress.append((done, total)))
    assert np.array_equal(scores, np.arange(45.0))
    assert len(fitted) == FOLDS
    assert progress[-1] == (45, 45)

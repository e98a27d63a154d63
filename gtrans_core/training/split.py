"""Who learns from which good image, and which of them set the threshold.

Every image serves both (cross-fitting): the packaged scene model and patch memory learn from all,
and each image's score for the threshold comes from such that were fitted without its fold. Where
there are enough images, Trans leaves out a share of them, on which its loss is watched; that share
is held out of everything and sets the threshold where the config says so, or where Trans has most
of the score.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gtrans_core.config import LEAST_SCENE_IMAGES, GTransConfig
from gtrans_core.detector.thresholds import needed_images
from gtrans_core.errors import TrainingError
from gtrans_core.network.score import trans_share

FOLDS = 20
"""Parts for cross-fitting, at most. Many: a model that lacks a twentieth of the images scores good
ones hardly higher than the packaged one, and fitting is cheap."""
FOLDS_OF_MANY = 10
MANY_IMAGES = 100
"""A model that lacks a tenth of so many does as well, and fitting takes longer."""
MOST_TRANS_SHARE = 0.5
"""Trans is not trained anew for each fold. That matters little while most of an image's score is of
parts that are; where Trans has more of it, more images are held out instead."""


@dataclass(frozen=True)
class Split:
    """Positions of a category's good images, each ascending.

    Attributes:
        training: Trans learns from them.
        watched: its loss on them is recorded now and then, and may choose what is kept.
        calibration: held out of all learning, for the threshold; empty: cross-fitting.
    """

    training: tuple[int, ...]
    watched: tuple[int, ...]
    calibration: tuple[int, ...]

    @property
    def images(self) -> int:
        """How many there are in all."""
        return len({*self.training, *self.watched, *self.calibration})

    def is_usual(self, config: GTransConfig) -> bool:
        """Whether Trans learns from all but the config's share, and is watched on that share."""
        held_out = round(config.training.held_out_fraction * self.images)
        return len(self.watched) == held_out and self.calibration in ((), self.watched)

    @property
    def is_cross_fitted(self) -> bool:
        """Whether every image serves both the closed-form parts and the threshold."""
        return not self.calibration

    @property
    def fitted(self) -> tuple[int, ...]:
        """What the packaged closed-form parts are fitted to."""
        everything = tuple(sorted((*self.training, *self.watched)))
        return everything if self.is_cross_fitted else self.training

    @property
    def new_to_trans(self) -> tuple[int, ...]:
        """Those that Trans did not learn from; where it learnt from all, all."""
        return self.calibration or self.watched or self.fitted

    def folds(self) -> list[tuple[int, ...]]:
        """The fitted images in as many parts as are left out in turn; few ones one by one."""
        most = FOLDS if len(self.fitted) < MANY_IMAGES else FOLDS_OF_MANY
        count = min(most, len(self.fitted))
        return [self.fitted[fold::count] for fold in range(count)]


def split_images(digests: Sequence[str], config: GTransConfig) -> Split:
    """Split a category's good images, a pseudo-random choice by content and seed.

    Where images are held out, under ``training.selection = best_held_out`` other ones choose the
    epoch than set the threshold, which would otherwise promise too much.

    Args:
        digests: sha256 (hex) of each image, in content order.
        config: the shares, and the false-alarm rate that is wanted.

    Raises:
        TrainingError: for fewer than two images.
    """
    count, needed = len(digests), needed_images(config.evaluation.false_alarm_rate)
    if count < 2:
        raise TrainingError(f"{count} good training images cannot be split: add images")
    held_out = round(config.training.held_out_fraction * count)
    choosing = max(1, held_out // 2) if config.training.selection == "best_held_out" else 0
    enough = held_out - choosing >= needed and count - held_out >= LEAST_SCENE_IMAGES
    trans_scores = trans_share(config) > MOST_TRANS_SHARE
    if not enough and trans_scores:
        held_out = min(needed + choosing, max(1, count // 2))
        choosing = min(choosing, held_out - 1)
        enough = True
    if enough:
        training, rest = _parted(digests, held_out, config.seed)
        if config.training.calibration == "cross_fitted" and not trans_scores:
            return Split(tuple(training), tuple(rest), ())
        calibration, watched = _parted([digests[i] for i in rest], choosing, config.seed)
        apart = tuple(rest[i] for i in watched)
        return Split(tuple(training), apart or tuple(rest), tuple(rest[i] for i in calibration))
    training, watched = _parted(digests, min(choosing, count - 1), config.seed)
    return Split(tuple(training), tuple(watched), ())


def hold_out(digests: Sequence[str], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions to train on and positions held out, a pseudo-random choice by content and seed.

    Raises:
        TrainingError: when no image would be left on one side.
    """
    held_out_count = round(fraction * len(digests))
    if not 0 < held_out_count < len(digests):
        raise TrainingError(
            f"{len(digests)} good training images cannot be split: holding out a share of "
            f"{fraction} leaves one side empty; add images or change training.held_out_fraction"
        )
    return _parted(digests, held_out_count, seed)


def _parted(digests: Sequence[str], count: int, seed: int) -> tuple[list[int], list[int]]:
    """All positions but ``count`` of them, and these."""
    ranked = sorted(
        range(len(digests)),
        key=lambda i: hashlib.sha256(f"{seed}:{digests[i]}".encode()).digest(),
    )
    return sorted(ranked[count:]), sorted(ranked[:count])

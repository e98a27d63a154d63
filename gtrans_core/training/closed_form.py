"""Everything of a detector that is fitted in closed form, and its cross-fitting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gtrans_core.config import GTransConfig
from gtrans_core.features.reading import Features
from gtrans_core.network.memory import PatchMemory, fit_memory, memory_maps
from gtrans_core.network.scene import SceneModel, fit_scene
from gtrans_core.training.split import Split

Reading = float | tuple[float, ...]
"""An image's score, or several values of it."""


def fit_closed_form(
    features: Features, positions: Sequence[int], config: GTransConfig
) -> tuple[SceneModel | None, PatchMemory | None]:
    """Fit what needs no training steps to some good images, and to nothing else.

    Args:
        features: of all good images.
        positions: those to fit to, ascending; of more than ``scene.images`` (``memory.images``) the
            first ones.
        config: what there is to fit.

    Returns:
        The scene model and the patch memory, each None where the config gives it no share.

    Raises:
        ValueError: for fewer than 4 images.
        DataError: when a shard of the cache was damaged meanwhile.
    """
    scene = memory = None
    # Content order is as good as random: the first ones are a fair sample.
    if config.scoring.has_scene:
        sample = features.subset(positions[: config.scene.images])
        scene = fit_scene(sample.maps, config.scene.rank)
    if config.has_memory:
        sample = features.subset(positions[: config.memory.images])
        maps = memory_maps(sample.maps, config.agn.taps)
        kept = math.ceil(maps[0][:, 0].numel() * config.memory.percent / 100)
        memory = fit_memory(maps, min(kept, config.memory.patches), config.seed)
    return scene, memory


def read_out_of_fold(
    split: Split,
    fit: Callable[[Sequence[int]], Callable[[int], Reading]],
    on_progress: Callable[[int, int], None],
) -> npt.NDArray[np.float64]:
    """Each image's reading by what was fitted without its fold, [N] or [N, parts of a reading].

    In the order of ``Split.fitted``.

    Args:
        split: whose ``folds`` are left out in turn.
        fit: fits the closed-form parts to these positions; what it returns reads a position.
        on_progress: called with (images scored, images in all) after each fold.
    """
    readings: dict[int, Reading] = {}
    for fold in split.folds():
        left_out = set(fold)
        read = fit([position for position in split.fitted if position not in left_out])
        readings |= {position: read(position) for position in fold}
        on_progress(len(readings), len(split.fitted))
    return np.array([readings[position] for position in split.fitted])

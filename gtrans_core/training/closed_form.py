"""Everything of a detector that is fitted in closed form, and its cross-fitting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gtrans_core.config import LEAST_SCENE_IMAGES, GTransConfig
from gtrans_core.features.cache import concatenate, tile_positions
from gtrans_core.features.reading import Features
from gtrans_core.network.memory import PatchMemory, fit_memory, memory_maps
from gtrans_core.network.scene import AnyScene, SceneModel, TileScenes, fit_scene
from gtrans_core.training.split import Split

_CLEARLY_BETTER = 0.95
"""Of what is left unexplained. Turning screws: 0.99 to 1.01."""
ClosedForm = tuple[AnyScene | None, PatchMemory | None]
"""The scene model and the patch memory, each None where the config gives it no share."""
Reading = float | tuple[float, ...]
"""An image's score, or several values of it."""


def fit_closed_form(
    features: Features,
    positions: Sequence[int],
    config: GTransConfig,
    in_other_light: Sequence[Features] = (),
) -> ClosedForm:
    """Fit what needs no training steps to some good images, and to nothing else.

    Args:
        features: of all good images.
        positions: those to fit to, ascending; of more than ``scene.images`` (``memory.images``) the
            first ones, or some of their tiles.
        config: what there is to fit.
        in_other_light: features of the same images in other light, to fit to as well; of
            ``scene.images`` they get what images as they are leave, a third at least, and in the
            patch memory they are where it has room for all.

    Returns:
        The scene model and the patch memory, each None where the config gives it no share.

    Raises:
        ValueError: for fewer than 4 images.
        DataError: when a shard of the cache was damaged meanwhile.
    """
    scene: AnyScene | None = None
    memory = None
    if config.scoring.has_scene:
        each = config.scene.per_tile == "yes" or (
            config.scene.per_tile == "auto" and is_better_per_tile(features, positions, config)
        )
        fit = _fit_places if each and features.tiles > 1 else _fit_one
        scene = fit((features, *in_other_light), positions, config)
    if config.has_memory:
        memory = _fit_memory(features, positions, config, in_other_light)
    return scene, memory


def _fit_memory(
    features: Features,
    positions: Sequence[int],
    config: GTransConfig,
    in_other_light: Sequence[Features],
) -> PatchMemory:
    """A patch memory of images as they are and, where there is room for all, in other light.

    One that is shared among lights knows less of each, and misses defects.
    """

    def patches_of(lights: Sequence[Features]) -> tuple[Sequence[Tensor], int]:
        of_all = _sampled(lights, positions, config.memory.images, config.seed)
        maps = memory_maps(of_all, config.agn.taps)
        return maps, math.ceil(maps[0][:, 0].numel() * config.memory.percent / 100)

    maps, kept = patches_of((features,))
    if in_other_light and kept * (1 + len(in_other_light)) <= config.memory.patches:
        maps, kept = patches_of((features, *in_other_light))
    return fit_memory(maps, min(kept, config.memory.patches), config.seed)


def is_better_per_tile(features: Features, positions: Sequence[int], config: GTransConfig) -> bool:
    """Whether a scene model for each tile's place explains good images clearly better than one.

    Both are fitted to four fifths of the images; the rest of them decides. One for each place costs
    as many times the memory, so a tie goes to the one.
    """
    judged = positions[::5]
    fitted = [position for position in positions if position not in set(judged)]
    if features.tiles == 1 or len(fitted) < LEAST_SCENE_IMAGES:
        return False
    one = _fit_one((features,), fitted, config)
    places = _fit_places((features,), fitted, config)
    left = torch.zeros(2, one.scales)
    for position in judged:
        maps = features.subset(tile_positions([position], features.tiles)).maps
        left[0] += torch.stack([m.mean() for m in one.unexplained(maps, one)])
        left[1] += torch.stack([m.mean() for m in places.unexplained(maps, one)])
    return bool((left[1] / left[0]).log().mean().exp() < _CLEARLY_BETTER)


def _fit_one(
    each_light: Sequence[Features], positions: Sequence[int], config: GTransConfig
) -> SceneModel:
    """One scene model for all tiles."""
    maps = _sampled(each_light, positions, config.scene.images, config.seed)
    return fit_scene(maps, config.scene.rank)


def _fit_places(
    each_light: Sequence[Features], positions: Sequence[int], config: GTransConfig
) -> TileScenes:
    """A scene model for each tile's place."""
    counts = _counts(len(positions), config.scene.images, len(each_light))
    tiles = each_light[0].tiles

    def of_place(tile: int) -> tuple[Tensor, Tensor, Tensor]:
        places = [position * tiles + tile for position in positions]
        return _maps(each_light, [places[:count] for count in counts])

    return TileScenes([fit_scene(of_place(tile), config.scene.rank) for tile in range(tiles)])


def _sampled(
    each_light: Sequence[Features], positions: Sequence[int], count: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of so many tiles of these images, or of all, as they are and in other light."""
    as_taken = each_light[0]
    counts = _counts(len(positions) * as_taken.tiles, count, len(each_light))
    return _maps(each_light, [_sample(as_taken, positions, some, seed) for some in counts])


def _counts(there: int, count: int, lights: int) -> list[int]:
    """Of ``count`` at most, how many are as they are and how many in each other light.

    Copies stand back: what they would displace says more of good parts than they do.
    """
    if lights == 1:
        return [count]
    as_taken = min(there, 2 * count // 3)
    return [as_taken] + [(count - as_taken) // (lights - 1)] * (lights - 1)


def _maps(
    each_light: Sequence[Features], tiles: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Maps of some tiles of each light, one light after the other."""
    subsets = [f.subset(some).maps for f, some in zip(each_light, tiles, strict=True) if some]
    if len(subsets) == 1:
        return subsets[0]
    first, second, third = (concatenate(list(maps)) for maps in zip(*subsets, strict=True))
    return first, second, third


def _sample(features: Features, positions: Sequence[int], count: int, seed: int) -> list[int]:
    """Where so many tiles of these images are, or all.

    Content order is as good as random: of whole images the first ones are a fair sample. Tiles are
    drawn, so that they are of many images.
    """
    tiles = tile_positions(positions, features.tiles)
    if features.tiles == 1 or len(tiles) <= count:
        return tiles[:count]
    drawn = torch.randperm(len(tiles), generator=torch.Generator().manual_seed(seed))[:count]
    return [tiles[i] for i in sorted(drawn.tolist())]


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

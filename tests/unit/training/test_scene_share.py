"""Trans has as much of the heat map as it knows of good parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gtrans_core.features.cache import CachedFeatures
from gtrans_core.network.score import trans_share
from gtrans_core.training.scene_share import explained, with_scene_share
from tests.support.tiny import tiny_config

COUNT = 5


def maps(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    first, second, third = (
        torch.randn(COUNT, 6, side, side, generator=drawn).half() for side in (8, 4, 2)
    )
    return first, second, third


GOOD = maps(0)
FEATURES = CachedFeatures(
    tuple(f"{i:064x}" for i in range(COUNT)), torch.zeros(COUNT, 3, 64, 64).byte(), GOOD
)
POSITIONS = range(COUNT)


class Predicts(torch.nn.Module):
    """Trans that gives these maps, image by image."""

    def __init__(self, predicted: tuple[torch.Tensor, ...]) -> None:
        super().__init__()
        self.predicted, self.next = predicted, 0

    def forward(self, _inputs: torch.Tensor, _maps: list[torch.Tensor]) -> list[torch.Tensor]:
        self.next += 1
        return [m[self.next - 1 : self.next].float() for m in self.predicted]


def half_right(noise: float) -> tuple[torch.Tensor, ...]:
    return tuple(a + noise * b for a, b in zip(GOOD, maps(1), strict=True))


def determination(actual: torch.Tensor, predicted: torch.Tensor) -> float:
    """R of directions, by numpy."""
    a, f = (np.moveaxis(m.double().numpy(), 1, -1).reshape(-1, 6) for m in (actual, predicted))
    a, f = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (a, f))
    return float(1 - ((a - f) ** 2).sum() / ((a - a.mean(0)) ** 2).sum())


@pytest.mark.parametrize(("read", "count"), [(1, 1), (2, 2), (0, 3)])
def test_what_is_explained_is_the_coefficient_of_determination(read: int, count: int):
    config = tiny_config(f"scoring.trans_maps={read}")
    predicted = half_right(0.5)
    found = explained(config, Predicts(predicted), FEATURES, POSITIONS)
    wanted = [determination(a, f) for a, f in zip(GOOD[:count], predicted[:count], strict=True)]
    assert found == pytest.approx(np.mean(wanted), abs=1e-3)
    assert 0.5 < found < 0.95


@pytest.mark.parametrize(
    ("predicted", "share"), [(GOOD, 0.01), (maps(1), 1.0), (half_right(0.5), None)]
)
def test_the_scene_model_has_what_trans_leaves_unexplained(predicted, share):
    config = tiny_config()
    settled = with_scene_share(config, Predicts(predicted), FEATURES, POSITIONS)
    if share is None:
        share = round(1 - explained(config, Predicts(predicted), FEATURES, POSITIONS), 2)
    assert settled.scoring.scene_share == share
    assert settled.model_copy(update={"scoring": config.scoring}) == config


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_a_share_that_was_set_stays(share: float):
    config = tiny_config(f"scoring.scene_share={share}")
    assert with_scene_share(config, Predicts(GOOD), FEATURES, POSITIONS) is config


def test_a_threshold_is_cross_fitted_only_where_no_share_could_be_too_much():
    assert trans_share(tiny_config("scoring.image_maps=2")) == 0
    assert trans_share(tiny_config("scoring.image_maps=0", "scoring.memory_share=0.4")) == 0.6

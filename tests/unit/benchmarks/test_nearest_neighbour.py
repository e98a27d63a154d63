"""The nearest-neighbour baseline, on arrays small enough to check by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.distance import cdist

from benchmarks.peers.nearest_neighbour import distances, heat_map, remember, run_nearest_neighbour
from gtrans_core.config import USUAL_SIDE


def test_distances_are_those_to_the_nearest():
    patches, memory = torch.randn(7, 5), torch.randn(11, 5)
    expected = cdist(patches.numpy(), memory.numpy()).min(axis=1)
    assert distances(patches, memory).numpy() == pytest.approx(expected, abs=1e-5)


def test_a_remembered_patch_is_no_distance_away():
    memory = 100 * torch.randn(11, 5)
    assert distances(memory, memory).max() < 0.2  # rounding only, next to distances of hundreds


def test_a_share_of_all_patches_is_remembered():
    features = [torch.arange(30.0).view(10, 3), 100 + torch.arange(30.0).view(10, 3)]
    kept = remember(features, seed=0, kept=0.5)
    assert kept.shape == (10, 3)
    everything = {tuple(row) for row in torch.cat(features).tolist()}
    assert len({tuple(row) for row in kept.tolist()} & everything) == 10
    assert torch.equal(kept, remember(features, seed=0, kept=0.5))
    assert not torch.equal(kept, remember(features, seed=1, kept=0.5))
    assert len(remember(features, seed=0, kept=0.001)) == 1


def test_a_heat_map_peaks_where_the_patch_is():
    grid = torch.zeros(8, 8)
    grid[2, 5] = 1
    heat = heat_map(grid.flatten(), size=64)
    assert heat.shape == (64, 64)
    assert heat.dtype == np.float32
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (row // 8, column // 8) == (2, 5)


@pytest.mark.slow
def test_a_spot_is_found_alone_or_in_company(tmp_path: Path):
    rng = np.random.default_rng(0)
    paths = []
    for index in range(5):
        pixels = rng.integers(90, 110, (USUAL_SIDE, USUAL_SIDE, 3), dtype=np.uint8)
        if index == 4:
            pixels[96:128, 160:192] = (250, 20, 20)
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray(pixels).save(paths[-1])
    result = run_nearest_neighbour(paths[:3], paths[3:], 0, tmp_path)
    good, spotted = result.scores
    assert spotted > 2 * good
    row, column = np.unravel_index(result.maps[1].argmax(), result.maps[1].shape)
    assert 88 <= row < 136
    assert 152 <= column < 200
    alone = run_nearest_neighbour(paths[:3], paths[4:], 0, tmp_path)
    assert np.array_equal(alone.maps[0], result.maps[1])
    assert result.facts["numbers_stored"] == round(0.1 * 3 * (USUAL_SIDE // 8) ** 2) * 152

"""The patch memory beside plain NumPy: patches, distances, and which patches are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate

from gtrans_core.network.memory import PatchMemory, fit_memory, memory_maps


def maps_of(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(count, channels, side, side, generator=generator)
        for channels, side in ((3, 8), (5, 4))
    ]


def patches_of(maps: list[torch.Tensor]) -> np.ndarray:
    """[N, P, C]: 3 x 3 means, the coarser map interpolated to the finer one's grid."""
    pooled = [avg_pool2d(m, 3, 1, 1) for m in maps]
    fine = tuple(pooled[0].shape[2:])
    up = interpolate(pooled[1], fine, mode="bilinear", align_corners=False)
    together = torch.cat([pooled[0], up], dim=1)
    return together.flatten(2).transpose(1, 2).double().numpy()


def test_a_patch_is_as_far_as_its_nearest_neighbour():
    memory = fit_memory(maps_of(6), patches=40, seed=0)
    new = maps_of(2, seed=1)
    bank = (memory.bank + memory.mean).double().numpy()
    patches = patches_of(new)
    squared = ((patches[:, :, None] - bank) ** 2).sum(axis=3).min(axis=2)
    expected = squared.reshape(2, 1, 8, 8) / float(memory.usual)
    np.testing.assert_allclose(memory(new).numpy(), expected, rtol=1e-4)


def test_what_is_kept_are_patches_of_the_images():
    maps = maps_of(6)
    memory = fit_memory(maps, patches=40, seed=0)
    assert memory.bank.shape == (40, 8)
    known = patches_of(maps).reshape(-1, 8)
    for kept in (memory.bank + memory.mean).double().numpy():
        assert np.abs(known - kept).max(axis=1).min() < 1e-5


def test_fewer_are_kept_where_fewer_are_offered():
    assert len(fit_memory(maps_of(2), patches=1000, seed=0).bank) == 2 * 16  # a quarter of 64


def test_the_rare_is_kept():
    """Greedy k-centre: one odd image in twenty is remembered by a memory of two patches."""
    maps = [torch.zeros(20, 3, 8, 8), torch.zeros(20, 5, 4, 4)]
    for m in maps:
        m += 0.01 * torch.randn(m.shape, generator=torch.Generator().manual_seed(0))
        m[7] += 5
    memory = fit_memory(maps, patches=2, seed=0)
    odd = [m[7:8] for m in maps]
    assert float(memory(odd).amin()) < 0.1
    assert float(memory([m * 0.5 for m in odd]).amin()) > 10


def test_the_same_images_and_seed_give_the_same_bits():
    first, again, other = (fit_memory(maps_of(6), 10, seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first.buffers(), again.buffers(), strict=True))
    assert not torch.equal(first.bank, other.bank)


def test_good_patches_are_at_about_one():
    memory = fit_memory(maps_of(30), patches=50, seed=0)
    assert float(memory(maps_of(10, seed=3)).mean()) == pytest.approx(1, abs=0.6)


def test_an_image_is_as_far_in_any_company():
    memory = fit_memory(maps_of(6), patches=40, seed=0)
    new = maps_of(5, seed=1)
    together = memory(new)
    for i in range(5):
        alone = memory([m[i : i + 1] for m in new])
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("strides", "chosen"),
    [
        ((8, 16, 32), [8, 16]),
        ((4, 8, 16), [8, 16]),
        ((4, 8, 16, 32), [8, 16]),
        ((16, 32, 64), [16, 32]),
        ((2, 4, 8), [8]),
        ((1, 2, 4), [4]),
    ],
)
def test_patches_are_made_of_the_finest_maps_from_stride_8_on(strides, chosen):
    assert list(memory_maps(list(strides), strides)) == chosen


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"usual": None}, "a patch memory has"),
        ({"bank": torch.zeros(4, 3)}, "do not fit"),
        ({"bank": torch.zeros(0, 8)}, "do not fit"),
        ({"usual": torch.ones(2)}, "do not fit"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change, said):
    tensors = {"bank": torch.zeros(4, 8), "mean": torch.zeros(8), "usual": torch.tensor(1.0)}
    wanted = {name: t for name, t in (tensors | change).items() if t is not None}
    with pytest.raises(ValueError, match=said):
        PatchMemory(wanted)

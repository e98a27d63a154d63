"""Resizing and smoothing of maps, as two matrix products each: M ↦ R M C^T.

A matrix product runs at the machine's full rate in every engine; the operators made for these two
(Resize, Conv with one channel) took seven times as long.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


def resize(map_B1HW: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear interpolation to ``size``, as torch's ``interpolate`` (align_corners False)."""
    height, width = _sides(map_B1HW)
    rows = _bilinear_weights(height, int(size[0]))
    return _both_sides(map_B1HW, rows, _bilinear_weights(width, int(size[1])))


def gaussian_blur(map_B1HW: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian with kernel radius 4 sigma and mirrored borders (scipy's ``reflect``)."""
    if sigma == 0:
        return map_B1HW
    height, width = _sides(map_B1HW)
    return _both_sides(map_B1HW, _gaussian_weights(height, sigma), _gaussian_weights(width, sigma))


def _sides(map_B1HW: Tensor) -> tuple[int, int]:
    # Plain numbers: while a graph is exported, sizes are tensors.
    return int(map_B1HW.shape[2]), int(map_B1HW.shape[3])


def _both_sides(
    map_B1HW: Tensor, rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]
) -> Tensor:
    device = map_B1HW.device
    left, right = (torch.from_numpy(weights).to(device) for weights in (rows, columns.T.copy()))
    return left @ (map_B1HW @ right)


@lru_cache(maxsize=64)
def _bilinear_weights(old: int, new: int) -> npt.NDArray[np.float32]:
    """[new, old]: what each old pixel gives to each new one."""
    centres = ((np.arange(new) + 0.5) * (old / new) - 0.5).clip(0, old - 1)
    before = np.floor(centres).astype(int)
    after = np.minimum(before + 1, old - 1)
    share = centres - before
    weights = np.zeros((new, old))
    np.add.at(weights, (np.arange(new), before), 1 - share)
    np.add.at(weights, (np.arange(new), after), share)
    return weights.astype(np.float32)


@lru_cache(maxsize=64)
def _gaussian_weights(size: int, sigma: float) -> npt.NDArray[np.float32]:
    """[size, size]: what each pixel gives to each smoothed one."""
    radius = int(4.0 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    # Mirrored about the edge of the last pixel (d c b a | a b c d | d c b a), as often as needed.
    period = np.concatenate([np.arange(size), np.arange(size - 1, -1, -1)])
    places = np.arange(size)[:, None]
    weights = np.zeros((size, size))
    np.add.at(weights, (places, period[(places + offsets) % (2 * size)]), kernel / kernel.sum())
    return weights.astype(np.float32)

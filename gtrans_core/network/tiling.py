"""A part seen in tiles: cut into overlapping pieces, each one an input, and joined without seams.

Tiles lie row by row. Shape suffixes: B parts, T tiles of each, H, W of a part, h, w of a tile.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gtrans_core.config import ImageConfig


class Tiling:
    """How a part is cut.

    Args:
        image: whose ``tiles`` and ``overlap`` say how; a part of one tile stays as it is.
    """

    def __init__(self, image: ImageConfig) -> None:
        self.rows, self.columns = image.tiles
        self.height, self.width = image.input_shape
        self.overlap = image.overlap

    @property
    def count(self) -> int:
        """T, tiles of a part."""
        return self.rows * self.columns

    def cut(self, views_B3HW: Tensor) -> Tensor:
        """Tiles [B T, 3, h, w] of whole views, those of a part one after the other."""
        if self.count == 1:
            return views_B3HW
        tiles = [
            views_B3HW[:, :, top : top + self.height, left : left + self.width]
            for top, left in self._corners()
        ]
        return torch.stack(tiles, dim=1).flatten(0, 1)

    def paste(self, tiles_T3hw: Tensor) -> Tensor:
        """The whole view [3, H, W] that was cut into these tiles."""
        (top, left), (height, width) = self._corners()[-1], tiles_T3hw.shape[2:]
        whole = torch.empty(3, top + height, left + width, dtype=tiles_T3hw.dtype)
        for (row, column), tile_3hw in zip(self._corners(), tiles_T3hw, strict=True):
            whole[:, row : row + height, column : column + width] = tile_3hw
        return whole

    def join(self, maps_B1hw: Tensor) -> Tensor:
        """Maps [B, 1, H, W] of whole parts, of the maps [B T, 1, h, w] of their tiles, any stride.

        Where tiles overlap, each gives way to the other step by step.
        """
        if self.count == 1:
            return maps_B1hw
        height, width = int(maps_B1hw.shape[2]), int(maps_B1hw.shape[3])
        overlap = self.overlap * height // self.height
        down = _shares(self.rows, height, overlap)
        across = _shares(self.columns, width, overlap)
        device = maps_B1hw.device
        maps_BT1hw = maps_B1hw.view(-1, self.count, 1, height, width)
        whole = []
        for row in range(self.rows):
            strip = [
                maps_BT1hw[:, row * self.columns + column]
                @ torch.from_numpy(across[column].T.copy()).to(device)
                for column in range(self.columns)
            ]
            left = torch.from_numpy(down[row]).to(device)
            whole.append(left @ sum(strip[1:], strip[0]))
        return sum(whole[1:], whole[0])

    def _corners(self) -> list[tuple[int, int]]:
        """Row and column of each tile's upper left pixel."""
        down, across = self.height - self.overlap, self.width - self.overlap
        return [
            (row * down, column * across)
            for row in range(self.rows)
            for column in range(self.columns)
        ]


@lru_cache(maxsize=64)
def _shares(count: int, side: int, overlap: int) -> list[npt.NDArray[np.float32]]:
    """Of each of ``count`` tiles in a line [whole, side]: what its pixels give to the whole's.

    For each pixel of the whole they add up to 1.
    """
    step = side - overlap
    weights = np.ones((count, side))
    rising = (np.arange(overlap) + 0.5) / max(overlap, 1)
    for before, after in pairwise(range(count)):
        weights[before, step:] = rising[::-1]
        weights[after, :overlap] = rising
    shares = np.zeros((count, step * (count - 1) + side, side), np.float32)
    for number in range(count):
        places = np.arange(side)
        shares[number, places + number * step, places] = weights[number]
    return list(shares)

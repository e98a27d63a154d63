"""Which images a step learns from, and what it gets of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from gtrans_core.features.cache import CachedFeatures, tile_positions
from gtrans_core.features.reading import Features, Request
from gtrans_core.network.backbone import BackboneSpec


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the images in an epoch (from 0): a permutation by seed and epoch alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return torch.randperm(count, generator=generator)


def in_batches(count: int, size: int) -> Iterator[Tensor]:
    """The numbers below ``count`` in order, ``size`` at a time; the last may be fewer."""
    for start in range(0, count, size):
        yield torch.arange(start, min(start + size, count))


class ImageBatches:
    """One side of the split, tile by tile, as normalised batches on the training device.

    What is in memory goes to a GPU's memory once, what is streamed batch by batch.
    """

    def __init__(
        self, features: Features, positions: Sequence[int], spec: BackboneSpec, device: torch.device
    ) -> None:
        positions = tile_positions(positions, features.tiles)
        if isinstance(features, CachedFeatures) and device.type != "cpu":
            features, positions = features.subset(positions).to(device), [*range(len(positions))]
        self.features = features
        self.positions = positions
        self.spec = spec
        self.device = device
        self.requests: dict[tuple[int, ...], Request] = {}

    def __len__(self) -> int:
        return len(self.positions)

    def read_ahead(self, order: Tensor) -> None:
        """Begin to read the batch that will be asked for next."""
        wanted = self._wanted(order)
        self.requests[wanted] = self.features.request(wanted)

    def batch(self, order: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Inputs [B, 3, H, W] and the AGN's three maps, in fp32, of images of this side.

        Raises:
            DataError: when features are streamed and a shard was damaged meanwhile.
        """
        wanted = self._wanted(order)
        request = self.requests.pop(wanted, None) or self.features.request(wanted)
        images = request()
        inputs = self.spec.normalise(images.views.to(self.device))
        return inputs, [m.to(self.device).float() for m in images.maps]

    def _wanted(self, order: Tensor) -> tuple[int, ...]:
        return tuple(self.positions[i] for i in order.tolist())

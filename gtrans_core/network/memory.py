"""The patch memory: patches of good training images, thinned; what is far from all of them is odd.

A patch is what two maps of the AGN say at one place and around it. The memory does not care
where on the part a patch was seen, so it fits parts that turn, and it finds what is small, which
the scene model's principal maps overlook. After PatchCore (Roth et al., arXiv 2106.08265): its
patches and its greedy choice of them, with a bounded number and without its reweighting.

Shape suffixes: B batch, N patches, P places, C channels of a patch, K patches kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from gtrans_core.network.plane import resize

_FINEST, _MAPS = 8, 2
"""A patch is made of so many maps, the finest of this stride or more: four times as many places at
stride 4 would cost four times as much."""
_OFFERED = 0.25
"""Share of each image's patches that may be kept: neighbours say nearly the same."""
_SKETCH = 32
"""Random directions that distances are estimated in while patches are chosen (Johnson and
Lindenstrauss, 1984)."""
_CHUNK = 32
"""Images whose patches are made at once."""
_NAMES = {"bank", "mean", "usual"}
T = TypeVar("T")


class PatchMemory(nn.Module):
    """Patches of good images.

    Args:
        tensors: as ``state_dict`` returns them: ``bank`` [K, C] patches less their mean, ``mean``
            [C], and ``usual`` [], > 0: the mean squared distance of a good patch to the bank.

    Raises:
        ValueError: when a tensor is missing or its shape does not fit the others.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        if set(tensors) != _NAMES:
            raise ValueError(f"a patch memory has {sorted(_NAMES)}, not {sorted(tensors)}")
        bank, mean, usual = (tensors[name] for name in ("bank", "mean", "usual"))
        if bank.ndim != 2 or mean.shape != bank.shape[1:] or usual.ndim or not len(bank):
            raise ValueError("the tensors of the patch memory do not fit each other")
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    bank: Tensor
    mean: Tensor
    usual: Tensor

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Distance map [B, 1, H, W], >= 0, on the first map's grid, of what ``memory_maps`` chose.

        min over k of ||x(p) − m_k||², over its mean for good patches: about 1 where all is well.
        """
        patches_BCHW = _patches(maps)
        height, width = int(patches_BCHW.shape[2]), int(patches_BCHW.shape[3])
        x_BPC = patches_BCHW.flatten(2).transpose(1, 2) - self.mean
        distance_BP = _squared_distance(x_BPC, self.bank) / self.usual
        return distance_BP.view(-1, 1, height, width)


def memory_maps(maps: Sequence[T], strides: Sequence[int]) -> Sequence[T]:
    """Those of the AGN's maps, or of facts about them, finest first, that patches are made of."""
    first = next((i for i, stride in enumerate(strides) if stride >= _FINEST), len(strides) - 1)
    return maps[first : first + _MAPS]


def fit_memory(maps: Sequence[Tensor], patches: int, seed: int) -> PatchMemory:
    """Choose patches of good training images.

    Greedy k-centre: each further patch is the one farthest from all kept so far. The same images in
    the same order give the same bits (same machine, same threads).

    Args:
        maps: the maps of all images [N, C_i, H_i, W_i] that ``memory_maps`` chose.
        patches: K, how many to keep; all that are offered where there are fewer.
        seed: of what is offered and of the first one kept.
    """
    generator = torch.Generator().manual_seed(seed)
    offered_NC = _offered(maps, generator)
    mean_C = offered_NC.mean(dim=0)
    centred_NC = offered_NC - mean_C
    bank_KC = centred_NC[_spread_out(centred_NC, min(patches, len(centred_NC)), generator)]
    distances = [_squared_distance(x, bank_KC) for x in torch.split(centred_NC, 4096)]
    # All kept ones are at 0: a memory of everything would have no scale of its own.
    usual = torch.cat(distances).mean().clamp_min(torch.finfo(torch.float32).tiny)
    return PatchMemory({"bank": bank_KC, "mean": mean_C, "usual": usual})


def _patches(maps: Sequence[Tensor]) -> Tensor:
    """Patches [B, C, H, W]: maps, each the mean of 3 x 3 places, on the first one's grid."""
    pooled = [avg_pool2d(m.float().contiguous(), 3, 1, 1) for m in maps]
    size = int(pooled[0].shape[2]), int(pooled[0].shape[3])
    return torch.cat([pooled[0], *(resize(m, size) for m in pooled[1:])], dim=1)


def _offered(maps: Sequence[Tensor], generator: torch.Generator) -> Tensor:
    """A random share of each image's patches [N, C]."""
    found = []
    for start in range(0, len(maps[0]), _CHUNK):
        patches_BCHW = _patches([m[start : start + _CHUNK] for m in maps])
        for patches_PC in patches_BCHW.flatten(2).transpose(1, 2):
            count = max(1, round(_OFFERED * len(patches_PC)))
            found.append(patches_PC[torch.randperm(len(patches_PC), generator=generator)[:count]])
    return torch.cat(found)


def _spread_out(points_NC: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions [count] of points that are far from each other."""
    width = points_NC.shape[1]
    sketch = torch.randn(width, _SKETCH, generator=generator) / _SKETCH**0.5
    points_NS = points_NC @ sketch
    norms_N = points_NS.square().sum(dim=1)
    nearest_N = torch.full_like(norms_N, torch.inf)
    chosen = torch.empty(count, dtype=torch.long)
    position = int(torch.randint(len(points_NS), (1,), generator=generator))
    for i in range(count):
        chosen[i] = position
        products_N = points_NS @ points_NS[position]
        distance_N = norms_N - 2 * products_N + norms_N[position]
        nearest_N = torch.minimum(nearest_N, distance_N)
        position = int(nearest_N.argmax())
    return chosen


def _squared_distance(x_PC: Tensor, bank_KC: Tensor) -> Tensor:
    """min over k of ||x − m_k||², [..., P]; as a product, and never below 0."""
    norms_K = bank_KC.square().sum(dim=1)
    nearest_P = (x_PC @ (-2 * bank_KC).T + norms_K).amin(dim=-1)
    return (nearest_P + x_PC.square().sum(dim=-1)).clamp_min(0)

"""The training loss: distance of directions, per pixel and scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

EPSILON = 1e-12


def unit(map_BCHW: Tensor) -> Tensor:
    """n(z) = z / max(||z||, 1e-12) over channels, per pixel."""
    return normalize(map_BCHW, dim=1, eps=EPSILON)


def guidance_loss(agn_maps: Sequence[Tensor], trans_maps: Sequence[Tensor]) -> Tensor:
    """Mean over scales, images and pixels of ½ ||n(a_i) − n(f_i)||² = 1 − cos(a_i, f_i).

    The mean (the authors sum over the batch) makes it independent of the batch size. It is
    computed as 1 − cos, which needs no normalised copy of either map. In [0, 2]; a pixel where
    either vector is zero counts 1.
    """
    per_scale = [
        (1.0 - cosine_similarity(a_BCHW, f_BCHW, dim=1, eps=EPSILON)).mean()
        for a_BCHW, f_BCHW in zip(agn_maps, trans_maps, strict=True)
    ]
    return torch.stack(per_scale).mean()

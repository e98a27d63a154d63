"""From two triples of maps to a heat map and an image score. Every image on its own, in fp32."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, cosine_similarity, interpolate

from gtrans_core.config import ScoringConfig
from gtrans_core.network.loss import EPSILON, unit


def heat_map(
    agn_maps: Sequence[Tensor],
    trans_maps: Sequence[Tensor],
    size: tuple[int, int],
    config: ScoringConfig,
) -> Tensor:
    """Anomaly map [B, H, W] (fp32, >= 0) at the input's size; higher is more anomalous.

    d_i(p) = ||n(a_i) − n(f_i)||²; m_i = w_i d_i or d_i, upsampled bilinearly; fused as
    m_1 m_2 m_3² (the coarsest map twice) or as a sum; Gaussian smoothing (method.md, "Score").
    """
    scaled = []
    for a_BCHW, f_BCHW in zip(agn_maps, trans_maps, strict=True):
        a, f = a_BCHW.float(), f_BCHW.float()
        d_B1HW = distance_map(a, f)
        if config.map_weights == "image":
            d_B1HW = d_B1HW * image_weight(a, f).view(-1, 1, 1, 1)
        scaled.append(interpolate(d_B1HW, size=size, mode="bilinear", align_corners=False))
    m_1, m_2, m_3 = scaled
    fused = m_1 * m_2 * m_3**2 if config.fusion == "product" else m_1 + m_2 + m_3
    return gaussian_blur(fused, config.smoothing_sigma).squeeze(1)


def image_score(map_BHW: Tensor, config: ScoringConfig) -> Tensor:
    """One score an image [B]: the map's maximum, or the mean of its top ``top_percent`` pixels."""
    pixels_BP = map_BHW.flatten(1)
    if config.image_score == "max":
        return pixels_BP.amax(dim=1)
    count = max(1, math.ceil(pixels_BP.shape[1] * config.top_percent / 100))
    return pixels_BP.topk(count, dim=1).values.mean(dim=1)


def distance_map(a_BCHW: Tensor, f_BCHW: Tensor) -> Tensor:
    """d(p) = ||n(a)_p − n(f)_p||², [B, 1, H, W], in [0, 4]."""
    return (unit(a_BCHW) - unit(f_BCHW)).square().sum(dim=1, keepdim=True)


def image_weight(a_BCHW: Tensor, f_BCHW: Tensor) -> Tensor:
    """w = 2 r c / (r + c) per image [B]: harmonic mean of distance r and direction c.

    r = 100 · mean of (n(f) − n(a))²; c = 10 · mean over channels of 1 − cos(a[ch], f[ch]) on raw
    maps. The released code takes them over the batch; here each image has its own.
    """
    r_B = 100.0 * (unit(f_BCHW) - unit(a_BCHW)).square().mean(dim=(1, 2, 3))
    cosine_BC = cosine_similarity(a_BCHW.flatten(2), f_BCHW.flatten(2), dim=2, eps=EPSILON)
    c_B = 10.0 * (1.0 - cosine_BC).mean(dim=1)
    return 2.0 * r_B * c_B / (r_B + c_B).clamp_min(EPSILON)


def gaussian_blur(map_B1HW: Tensor, sigma: float) -> Tensor:
    """Separable Gaussian with kernel radius 4 sigma and mirrored borders (scipy's ``reflect``)."""
    if sigma == 0:
        return map_B1HW
    radius = int(4.0 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=map_B1HW.device, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(map_B1HW.dtype)
    rows = _mirror(map_B1HW, radius, dim=3)
    blurred = conv2d(rows, kernel.view(1, 1, 1, -1))
    columns = _mirror(blurred, radius, dim=2)
    return conv2d(columns, kernel.view(1, 1, -1, 1))


def _mirror(map_B1HW: Tensor, radius: int, dim: int) -> Tensor:
    """Pad one axis by reflection about the edge of the last pixel (d c b a | a b c d | d c b a)."""
    size = map_B1HW.shape[dim]
    if radius <= size:
        before = map_B1HW.narrow(dim, 0, radius).flip(dim)
        after = map_B1HW.narrow(dim, size - radius, radius).flip(dim)
        return torch.cat([before, map_B1HW, after], dim=dim)
    # A map smaller than the kernel: repeat the mirrored period as often as needed.
    period = torch.cat([torch.arange(size), torch.arange(size - 1, -1, -1)])
    index = period[torch.arange(-radius, size + radius) % (2 * size)]
    return map_B1HW.index_select(dim, index.to(map_B1HW.device))

"""From two triples of maps to a heat map and an image score. Every image on its own, in fp32."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from gtrans_core.config import GTransConfig, ScoringConfig
from gtrans_core.network.loss import EPSILON, unit
from gtrans_core.network.plane import gaussian_blur, resize
from gtrans_core.network.scene import FLOOR

USUAL_MAPS = 2
"""Of the coarsest maps that a score is read from, where nobody says how many."""
Join = Callable[[Tensor], Tensor]


def as_they_are(map_B1HW: Tensor) -> Tensor:
    """Joins nothing: each part is one tile."""
    return map_B1HW


def heat_map(
    agn_maps: Sequence[Tensor],
    trans_maps: Sequence[Tensor],
    scene_maps: Sequence[Tensor],
    memory_map: Tensor | None,
    size: tuple[int, int],
    config: GTransConfig,
    join: Join = as_they_are,
) -> Tensor:
    """Anomaly map [B, H, W] (fp32, >= 0) at the input's size; higher is more anomalous.

    d_i(p) = ||n(a_i) − n(f_i)||²; m_i = w_i d_i or d_i. All maps are upsampled bilinearly, fused,
    and smoothed by a Gaussian. As published (arXiv 2305.14880) the m_i are fused as m_1 m_2 m_3²
    (the coarsest map twice) or as a sum; ``geometric`` is the weighted geometric mean of the finest
    of them, the scene model's residuals and the patch memory's distances.

    Args:
        agn_maps: a_i [B, C_i, H_i, W_i], finest first.
        trans_maps: f_i, of the same shapes; not read when ``scene_share`` is 1.
        scene_maps: the scene model's residuals [B, 1, H_i, W_i]; not read when it is 0.
        memory_map: the patch memory's distances [B, 1, H_j, W_j]; None where it has no share.
        size: of the result.
        config: whose ``scoring`` and ``research`` say how to fuse and smooth.
        join: makes maps [B, 1, H_i, W_i] of whole parts of those of their tiles.
    """
    if config.research.fusion == "geometric":
        read = range(len(agn_maps))
        maps = agn_maps, trans_maps, scene_maps, memory_map
        return _geometric_mean(*maps, size, config, read, read, join)
    m_1, m_2, m_3 = (resize(join(m), size) for m in _disagreements(agn_maps, trans_maps, config))
    fused = m_1 * m_2 * m_3**2 if config.research.fusion == "product" else m_1 + m_2 + m_3
    return gaussian_blur(fused, config.scoring.smoothing_sigma).squeeze(1)


def _geometric_mean(
    agn_maps: Sequence[Tensor],
    trans_maps: Sequence[Tensor],
    scene_maps: Sequence[Tensor],
    memory_map: Tensor | None,
    size: tuple[int, int],
    config: GTransConfig,
    read: range,
    scene_read: range,
    join: Join,
) -> Tensor:
    """exp of the smoothed p log b + (1 − p) ((1 − q) mean_i log m_i + q mean_i log r_i), [B, H, W].

    b are the distances to the patch memory, p is ``memory_share`` and q ``scene_share``. The means
    are over the maps of ``read`` and ``scene_read``; m_i is of Trans' finest ``trans_maps`` alone,
    and where none of those is read, q is 1. The published product weighs maps by exponents; here
    they add up to 1, and smoothing happens in the logarithm, where one bright pixel does not
    outshine its neighbours. Maps of any scale may be fused: a constant factor in one of them
    changes no ranking.
    """
    trans_read = _trans_read(read, len(agn_maps), config)
    trans, scene, memory = _shares(len(trans_read), memory_map is not None, config)
    disagreements = (
        _disagreements(
            [agn_maps[i] for i in trans_read], [trans_maps[i] for i in trans_read], config
        )
        if trans > 0
        else []
    )
    parts = (
        (disagreements, trans),
        ([scene_maps[i] for i in scene_read] if scene > 0 else [], scene),
        ([] if memory_map is None else [memory_map], memory),
    )
    logs = [
        share * _mean_log([resize(join(m), size) for m in maps])
        for maps, share in parts
        if share > 0
    ]
    return gaussian_blur(sum(logs[1:], logs[0]), config.scoring.smoothing_sigma).exp().squeeze(1)


def _trans_read(read: range, maps: int, config: GTransConfig) -> list[int]:
    """Those of the maps that Trans' disagreement is read from; alone, it is read from all."""
    finest = config.scoring.trans_maps if config.scoring.has_scene else 0
    return [i for i in read if i < (finest or maps)]


def _shares(trans_read: int, has_memory: bool, config: GTransConfig) -> tuple[float, float, float]:
    """Of Trans, the scene model and the patch memory in a geometric mean; they add up to 1."""
    memory = config.scoring.memory_share if has_memory else 0.0
    scene = config.scoring.scene_weight if trans_read else 1.0
    return (1 - memory) * (1 - scene), (1 - memory) * scene, memory


def _disagreements(
    agn_maps: Sequence[Tensor], trans_maps: Sequence[Tensor], config: GTransConfig
) -> list[Tensor]:
    """m_i [B, 1, H_i, W_i]: w_i d_i where they are to be weighed, else d_i."""
    weighted = []
    for a_BCHW, f_BCHW in zip(agn_maps, trans_maps, strict=True):
        a, f = a_BCHW.float(), f_BCHW.float()
        d_B1HW = distance_map(a, f)
        if config.research.map_weights == "image":
            d_B1HW = d_B1HW * image_weight(a, f).view(-1, 1, 1, 1)
        weighted.append(d_B1HW)
    return weighted


def _mean_log(maps: Sequence[Tensor]) -> Tensor:
    """Mean over maps of log(m + FLOOR): one logarithm, of the product."""
    product = maps[0] + FLOOR
    for map_B1HW in maps[1:]:
        product = product * (map_B1HW + FLOOR)
    return product.log() / len(maps)


def image_map(
    heat_map_BHW: Tensor,
    agn_maps: Sequence[Tensor],
    trans_maps: Sequence[Tensor],
    scene_maps: Sequence[Tensor],
    memory_map: Tensor | None,
    config: GTransConfig,
    join: Join = as_they_are,
) -> Tensor:
    """The map [B, H, W] that an image's score is read from: of the coarsest maps alone.

    Fine maps say where a defect is; on good parts they also vary the most, so that a score read
    from them misses defects (docs/appendix/accuracy.md has the measurement).

    Args:
        heat_map_BHW: as ``heat_map`` makes it of all maps; returned where no map is left out.
        agn_maps: as for ``heat_map``.
        trans_maps: as for ``heat_map``.
        scene_maps: as for ``heat_map``.
        memory_map: as for ``heat_map``; it is read whole.
        config: as for ``heat_map``; its ``scoring.image_maps`` says how many maps.
        join: as for ``heat_map``.
    """
    maps = len(agn_maps)
    count = image_map_count(maps, config)
    if count == maps:
        return heat_map_BHW
    size = int(heat_map_BHW.shape[1]), int(heat_map_BHW.shape[2])
    read = range(maps - count, maps)
    maps_read = agn_maps, trans_maps, scene_maps, memory_map
    return _geometric_mean(*maps_read, size, config, read, scene_read(maps, config), join)


def scene_read(maps: int, config: GTransConfig) -> range:
    """Which of ``maps`` the score has of the scene model: the coarsest, or with tiles all.

    Parts are cut for small defects, and the finest map shows those.
    """
    is_cut = config.scoring.image_maps is None and config.image.has_tiles
    return range(0 if is_cut else maps - image_map_count(maps, config), maps)


def image_map_count(maps: int, config: GTransConfig) -> int:
    """How many of an image's ``maps``, counted from the coarsest, its score is read from."""
    wanted = USUAL_MAPS if config.scoring.image_maps is None else config.scoring.image_maps
    if config.research.fusion != "geometric" or not 0 < wanted < maps:
        return maps
    return wanted


def trans_share(config: GTransConfig) -> float:
    """How much of an image's score Trans has, 0 to 1: of ``image_map``, not of the heat map.

    Where good images have not settled ``scene_share`` yet: how much it may get.
    """
    if config.research.fusion != "geometric":
        return 1.0
    maps = len(config.agn.taps)
    read = range(maps - image_map_count(maps, config), maps)
    trans_read = _trans_read(read, maps, config)
    trans, scene, _ = _shares(len(trans_read), config.has_memory, config)
    return trans + scene if trans_read and config.scoring.scene_share is None else trans


def usual_map(usual_maps: Sequence[Tensor], size: tuple[int, int], config: GTransConfig) -> Tensor:
    """How much more than elsewhere good images show at each place, [1, H, W], of mean 1.

    exp of the smoothed q · mean_i log u_i, over its geometric mean; q: the scene model's share of
    ``image_map``. So it is what that part is for a usual good image, but for a constant factor.

    Args:
        usual_maps: the scene model's u_i [1, 1, H_i, W_i]; none: a map of ones.
        size: of the result.
        config: how the heat map is made.
    """
    if not usual_maps:
        return torch.ones(1, *size)
    count = len(usual_maps)
    logs = [resize(usual_maps[i], size).log() for i in scene_read(count, config)]
    read = range(count - image_map_count(count, config), count)
    trans_read = _trans_read(read, len(usual_maps), config)
    _, scene, _ = _shares(len(trans_read), config.has_memory, config)
    fused_11HW = torch.stack(logs).mean(dim=0) * scene
    smoothed_1HW = gaussian_blur(fused_11HW, config.scoring.smoothing_sigma).squeeze(1)
    return (smoothed_1HW - smoothed_1HW.mean()).exp()


def image_score(
    map_BHW: Tensor, usual_1HW: Tensor, config: ScoringConfig, pixels: int | None = None
) -> Tensor:
    """One score an image [B]: the map's maximum, or the mean of its top ``top_percent`` pixels.

    Before, the map is divided by what is usual at each place, to the power ``place_exponent``:
    at an edge that differs from one good image to the next, more must be seen to mean something.

    Args:
        map_BHW: as ``image_map`` returns them.
        usual_1HW: as ``usual_map`` returns it.
        config: how to score.
        pixels: ``top_percent`` is of so many: those of a tile, however many tiles the map is of, so
            that a small defect counts as much in a large part; None: those of the map.
    """
    pixels_BP = (map_BHW / usual_1HW**config.place_exponent).flatten(1)
    if config.image_score == "max":
        return pixels_BP.amax(dim=1)
    count = max(1, math.ceil((pixels or pixels_BP.shape[1]) * config.top_percent / 100))
    return pixels_BP.topk(count, dim=1, sorted=False).values.mean(dim=1)


def distance_map(a_BCHW: Tensor, f_BCHW: Tensor) -> Tensor:
    """d(p) = ||n(a)_p − n(f)_p||², [B, 1, H, W], in [0, 4]."""
    return (unit(a_BCHW) - unit(f_BCHW)).square().sum(dim=1, keepdim=True)


def image_weight(a_BCHW: Tensor, f_BCHW: Tensor) -> Tensor:
    """w = 2 r c / (r + c) per image [B]: harmonic mean of distance r and direction c.

    r = 100 · mean of (n(f) − n(a))²; c = 10 · mean over channels of 1 − cos(a[ch], f[ch]) on raw
    maps. The authors' code takes them over the batch; here each image has its own.
    """
    r_B = 100.0 * (unit(f_BCHW) - unit(a_BCHW)).square().mean(dim=(1, 2, 3))
    cosine_BC = cosine_similarity(a_BCHW.flatten(2), f_BCHW.flatten(2), dim=2, eps=EPSILON)
    c_B = 10.0 * (1.0 - cosine_BC).mean(dim=1)
    return 2.0 * r_B * c_B / (r_B + c_B).clamp_min(EPSILON)

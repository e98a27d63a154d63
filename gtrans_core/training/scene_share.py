"""The scene model's share of the heat map: what Trans does not know of good parts."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gtrans_core.config import GTransConfig
from gtrans_core.features.cache import tile_positions
from gtrans_core.features.reading import Features
from gtrans_core.network.backbone import agn_spec
from gtrans_core.network.loss import unit
from gtrans_core.network.trans import Trans

_LEAST = 0.01
"""A scene model without any share would not be one: Trans would then be read from all maps."""
_IMAGES = 32
"""Good images that are looked at: the first ones, since content order is as good as random."""


def with_scene_share(
    config: GTransConfig, trans: Trans, features: Features, positions: Sequence[int]
) -> GTransConfig:
    """The config with ``scoring.scene_share`` settled by good images, where it was not set.

    The scene model gets the share 1 − R of what the patch memory leaves, Trans gets R: what it
    explains of good images (``explained``). A texture that it cannot predict leaves it little, and
    so do a few steps of training (docs/appendix/accuracy.md has the measurement).

    Args:
        config: of the training.
        trans: as trained.
        features: of good images.
        positions: those to look at.

    Raises:
        DataError: when a shard of the cache was damaged meanwhile.
    """
    if config.scoring.scene_share is not None:
        return config
    share = round(1 - explained(config, trans, features, positions), 2)
    scoring = config.scoring.model_copy(update={"scene_share": max(share, _LEAST)})
    return config.model_copy(update={"scoring": scoring})


@torch.inference_mode()
def explained(
    config: GTransConfig, trans: Trans, features: Features, positions: Sequence[int]
) -> float:
    """R = 1 − Σ ||n(a) − n(f)||² / Σ ||n(a) − mean n(a)||², the coefficient of determination.

    Over all pixels of the maps that ``scoring.trans_maps`` has the heat map read from, each map
    counting alike. In [0, 1]: 0 where Trans predicts no better than the mean direction.
    """
    spec = agn_spec(config.agn)
    read = config.scoring.trans_maps or len(config.agn.taps)
    left = torch.zeros(read, dtype=torch.float64)
    total = torch.zeros(read, dtype=torch.float64)
    seen = features.subset(tile_positions(positions[:_IMAGES], features.tiles))
    directions = [unit(m.float()) for m in seen.maps[:read]]
    for i, n in enumerate(directions):
        total[i] = (n - n.mean((0, 2, 3), keepdim=True)).square().sum(dtype=torch.float64)
    for position in range(len(seen.views)):
        one = [m[position : position + 1].float() for m in seen.maps]
        predicted = trans(spec.normalise(seen.views[position : position + 1]), one)
        for i, f in enumerate(predicted[:read]):
            n = directions[i][position : position + 1]
            left[i] += (n - unit(f)).square().sum(dtype=torch.float64)
    return float((1 - left / total.clamp(min=torch.finfo(torch.float64).tiny)).mean().clamp(0, 1))

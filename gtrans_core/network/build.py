"""Building a Trans from a config."""

from __future__ import annotations

import torch

from gtrans_core.config import GTransConfig
from gtrans_core.network.agn import BackboneSpec, build_backbone
from gtrans_core.network.trans import Trans


def build_trans(spec: BackboneSpec, config: GTransConfig) -> Trans:
    """A Trans with random weights drawn from the config's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        student, _ = build_backbone(spec.name, spec.strides)
        trans = Trans(
            student,
            spec.channels,
            token_width=config.trans.token_width,
            tokens_per_map=config.trans.tokens_per_map,
            passes=config.trans.passes,
            layer_norm=config.trans.layer_norm,
            guidance=config.trans.guidance,
        )
    return trans.to(memory_format=torch.channels_last)

"""Building a Trans from a config."""

from __future__ import annotations

import torch
from torch import nn

from gtrans_core.config import SAME_AS_AGN, GTransConfig
from gtrans_core.network.agn import (
    BackboneSpec,
    backbone_spec,
    build_backbone,
    check_input_size,
)
from gtrans_core.network.student import Student
from gtrans_core.network.trans import Trans


def build_trans(spec: BackboneSpec, config: GTransConfig) -> Trans:
    """A Trans with random weights drawn from the config's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trans = Trans(
            _build_student(spec, config.trans.backbone),
            spec.channels,
            token_width=config.trans.token_width,
            tokens_per_map=config.trans.tokens_per_map,
            passes=config.trans.passes,
            layer_norm=config.trans.layer_norm,
            guidance=config.trans.guidance,
        )
    return trans.to(memory_format=torch.channels_last)


def check_student(spec: BackboneSpec, config: GTransConfig) -> None:
    """Try, before anything is computed for it, whether a config's student can follow an AGN.

    Raises:
        ConfigError: when timm has no such backbone, it has no map at one of the AGN's strides, or
            it does not take the input size.
    """
    name, knob = config.trans.backbone, "trans.backbone"
    if name != SAME_AS_AGN:
        own = backbone_spec(name, spec.strides, knob)
        check_input_size(own, config.image.input_size, knob)


def _build_student(spec: BackboneSpec, name: str) -> nn.Module:
    if name == SAME_AS_AGN:
        return build_backbone(spec.name, spec.strides)[0]
    backbone, own = build_backbone(name, spec.strides)
    return Student(backbone, own.channels, spec.channels)

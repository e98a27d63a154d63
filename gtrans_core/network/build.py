"""Building a Trans from a config."""

from __future__ import annotations

import torch
from torch import nn

from gtrans_core.config import SAME_AS_AGN, GTransConfig
from gtrans_core.errors import ConfigError
from gtrans_core.network.backbone import (
    BackboneSpec,
    backbone_spec,
    build_backbone,
    check_input_shape,
    trim,
)
from gtrans_core.network.student import Student
from gtrans_core.network.trans import Trans

_KNOB = "trans.backbone"
_BESIDE_A_VIT = (8, 16, 32)
"""Strides of the student's maps where the AGN is a ViT; they are brought to its one grid."""


def build_trans(spec: BackboneSpec, config: GTransConfig) -> Trans:
    """A Trans with random weights drawn from the config's seed.

    Raises:
        ConfigError: as ``check_student``, which finds it earlier.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        trans = Trans(
            _build_student(spec, config.trans.backbone),
            spec.channels,
            token_width=config.trans.token_width,
            tokens_per_map=config.trans.tokens_per_map,
            passes=config.trans.passes,
            layer_norm=config.research.layer_norm,
            guidance=config.research.guidance,
        )
    return trans.to(memory_format=torch.channels_last)


def check_student(spec: BackboneSpec, config: GTransConfig) -> None:
    """Try, before anything is computed for it, whether a config's student can follow an AGN.

    Raises:
        ConfigError: when timm has no such backbone, it has no map at one of the AGN's strides, it
            does not take the input size, or several processes cannot train it.
    """
    name = config.trans.backbone
    if name != SAME_AS_AGN:
        own = backbone_spec(name, _student_taps(spec), _KNOB)
        check_input_shape(own, config.image.input_shape, _KNOB, rounded=spec.blocks is not None)
    if config.training.processes > 1:
        _refuse_idle_weights(spec, name, config.image.input_shape)


def _refuse_idle_weights(spec: BackboneSpec, name: str, shape: tuple[int, int]) -> None:
    """Processes that train together wait for the gradient of every weight."""
    with torch.random.fork_rng(devices=[]):
        student = _build_student(spec, name).eval()
    maps = student(torch.zeros(1, 3, *shape))
    names, weights = zip(*student.named_parameters(), strict=True)
    total = torch.stack([map_BCHW.sum() for map_BCHW in maps]).sum()
    gradients = torch.autograd.grad(total, weights, allow_unused=True)
    idle = [n for n, gradient in zip(names, gradients, strict=True) if gradient is None]
    if idle:
        raise ConfigError(
            f"{_KNOB} {name}: {len(idle)} of its weights reach no map ({idle[0]}, ...), so several "
            "processes cannot train it; set training.processes = 1 or take another backbone"
        )


def _build_student(spec: BackboneSpec, name: str) -> nn.Module:
    if name == SAME_AS_AGN:
        return build_backbone(spec.name, spec.strides, blocks=spec.blocks)[0]
    backbone, own = build_backbone(name, _student_taps(spec), knob=_KNOB)
    stride = spec.strides[0] if spec.blocks else None
    return Student(trim(backbone), own.channels, spec.channels, stride)


def _student_taps(spec: BackboneSpec) -> tuple[int, int, int]:
    return _BESIDE_A_VIT if spec.blocks else spec.strides

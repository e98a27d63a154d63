"""Building a timm backbone that gives three maps, and checking weights for it.

A CNN gives them at three strides; a plain vision transformer (ViT), whose maps all have the stride
of its patches, from three blocks.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gtrans_core.config import AgnConfig
from gtrans_core.config.image import SIDE_STEP
from gtrans_core.errors import ConfigError, WeightsError
from gtrans_core.system.shortcuts import torch_compiler_left_out

with torch_compiler_left_out():
    import timm
    from timm.models import FeatureInfo
    from timm.models.efficientnet import EfficientNetFeatures
    from timm.models.eva import Eva
    from timm.models.mobilenetv3 import MobileNetV3Features
    from timm.models.vision_transformer import VisionTransformer

AGN_KNOB = "agn.backbone"
_ANY_INPUT: dict[str, Any] = {"dynamic_img_size": True}
"""A ViT brings its position embedding to the grid of the input."""
_VITS = VisionTransformer, Eva


@dataclass(frozen=True)
class BackboneSpec:
    """What a backbone's three taps give, finest first; of a ViT, shallowest first."""

    name: str
    strides: tuple[int, int, int]
    channels: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    blocks: tuple[int, int, int] | None = None
    """Of a ViT: the numbers of the blocks that its maps come from; the first block is 1."""

    def map_shapes(self, shape: tuple[int, int]) -> list[tuple[int, int, int]]:
        """[C_i, H_i, W_i] of the three maps of an input of this height and width."""
        height, width = shape
        pairs = zip(self.channels, self.strides, strict=True)
        return [(channels, height // s, width // s) for channels, s in pairs]

    def normalise(self, views_B3HW: Tensor) -> Tensor:
        """uint8 RGB [B, 3, H, W] to the backbone's fp32 input, channels last."""
        pixels = views_B3HW.contiguous(memory_format=torch.channels_last).float() / 255.0
        mean = torch.tensor(self.mean, device=pixels.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=pixels.device).view(1, 3, 1, 1)
        return (pixels - mean) / std


def agn_spec(agn: AgnConfig) -> BackboneSpec:
    """What a config's AGN gives; raises what ``backbone_spec`` raises."""
    return backbone_spec(agn.backbone, agn.taps, blocks=agn.blocks)


def backbone_spec(
    name: str,
    taps: Sequence[int],
    knob: str = AGN_KNOB,
    *,
    blocks: tuple[int, int, int] | None = None,
) -> BackboneSpec:
    """The channels a timm backbone has at three taps, without allocating its weights.

    Args:
        name: any timm model with ``features_only`` support.
        taps: three strides in pixels, finest first; for a ViT three times the side of its patches.
        knob: where its name comes from, for error messages.
        blocks: for a ViT, the numbers of three blocks; None: those that end its thirds.

    Raises:
        ConfigError: when timm has no such backbone, or no map at one of the strides or blocks.
    """
    spec, _ = _resolve_taps(name, tuple(taps), knob, blocks)
    return spec


def build_backbone(
    name: str,
    taps: Sequence[int],
    state: Mapping[str, Tensor] | None = None,
    knob: str = AGN_KNOB,
    *,
    blocks: tuple[int, int, int] | None = None,
) -> tuple[nn.Module, BackboneSpec]:
    """A timm backbone that returns the maps at ``taps`` and computes nothing behind the last one.

    Args:
        name: any timm model with ``features_only`` support.
        taps: as ``backbone_spec``.
        state: weights under timm's names for the *whole* model; None: random initialisation
            from torch's global generator.
        knob: where its name comes from, for error messages.
        blocks: as ``backbone_spec``.

    Raises:
        ConfigError: unknown backbone, stride or block.
        WeightsError: a key is missing or unexpected, or a shape differs; all are named.
    """
    spec, indices = _resolve_taps(name, tuple(taps), knob, blocks)
    if state is not None:
        check_weights(name, state)
    # check_weights is stricter than timm, which would warn of the unused classifier.
    logging.getLogger("timm.models._builder").setLevel(logging.ERROR)
    backbone = timm.create_model(
        name,
        pretrained=state is not None,
        features_only=True,
        out_indices=indices,
        # timm renames and wraps for feature extraction; it loads its own names correctly.
        pretrained_cfg_overlay={"state_dict": dict(state)} if state is not None else None,
        **_ANY_INPUT if spec.blocks else {},
    )
    # A MobileNetV3 guide keeps all its stages: packaged ones have them among their weights.
    return backbone if isinstance(backbone, MobileNetV3Features) else trim(backbone), spec


@torch.no_grad()
def check_input_shape(
    spec: BackboneSpec, shape: tuple[int, int], knob: str = AGN_KNOB, *, rounded: bool = False
) -> None:
    """Try with random weights whether a backbone gives its maps for an input shape.

    The meta device would save the arithmetic of one image, but load torch's compiler (2 s).

    Args:
        spec: the backbone and what its maps should be.
        shape: height and width of the input in pixels.
        knob: where its name comes from, for error messages.
        rounded: whether a map may have a row and a column more, since they are resized later.

    Raises:
        ConfigError: when it does not take this shape, or its maps have another one.
    """
    height, width = shape
    pairs = zip(spec.channels, spec.strides, strict=True)
    expected = (
        [(1, channels, -(-height // s), -(-width // s)) for channels, s in pairs]
        if rounded
        else [(1, *of_map) for of_map in spec.map_shapes(shape)]
    )
    pixels = f"{shape[1]} x {shape[0]} pixels"
    try:
        with torch.random.fork_rng(devices=[]):
            backbone, _ = build_backbone(spec.name, spec.strides, blocks=spec.blocks)
            shapes = [tuple(m.shape) for m in backbone.eval()(torch.zeros(1, 3, *shape))]
    except (AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"{knob} {spec.name}: does not take inputs of {pixels} "
            f"({_first_line(error)}); change image.size or the backbone"
        ) from None
    if shapes != expected:
        raise ConfigError(
            f"{knob} {spec.name}: gives maps {shapes} for {pixels}, "
            f"expected {expected}; take another backbone"
        )


def hub_repository(name: str) -> str:
    """The hub repository of timm's weights for a backbone; ``""`` where timm names none."""
    pretrained = timm.get_pretrained_cfg(name)
    return (pretrained.hf_hub_id if pretrained else "") or ""


def check_weights(name: str, state: Mapping[str, Tensor]) -> None:
    """Compare weights with a timm model key by key and shape by shape (the classifier included).

    Raises:
        WeightsError: naming up to five keys of each kind of difference.
    """
    with torch.device("meta"), _Undrawn():
        expected = timm.create_model(name, pretrained=False).state_dict()
    # BatchNorm's counter is not used, and files of torchvision's time do not have it.
    missing = sorted(
        key for key in expected.keys() - state.keys() if not key.endswith(".num_batches_tracked")
    )
    unexpected = sorted(state.keys() - expected.keys())
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in sorted(expected.keys() & state.keys())
        if state[key].shape != expected[key].shape
    ]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''})"
        for what, keys in (
            ("keys missing", missing),
            ("keys unexpected", unexpected),
            ("shapes differ", shapes),
        )
        if keys
    ]
    if problems:
        raise WeightsError(
            f"weights do not fit backbone {name}: {'; '.join(problems)}; "
            "set agn.weights to weights of this backbone (hub: takes timm's own)"
        )


@cache  # a run asks ten times, and each time timm would build the whole backbone
def _resolve_taps(
    name: str, taps: tuple[int, ...], knob: str, blocks: tuple[int, int, int] | None
) -> tuple[BackboneSpec, tuple[int, ...]]:
    """The spec, and timm's own indices of the three maps."""
    if not timm.is_model(name):  # a path or a hub address would make timm read or fetch a config
        raise ConfigError(f"{knob} {name}: timm has no such model (see timm.list_models())")
    try:
        with torch.device("meta"), _Undrawn():
            probe = timm.create_model(name, pretrained=False, features_only=True)
    except (AssertionError, RuntimeError) as error:
        raise ConfigError(f"{knob} {name}: {_first_line(error)}") from None
    info = cast(FeatureInfo, probe.feature_info)
    data = timm.get_pretrained_cfg(name)
    if data is None:
        raise ConfigError(f"{knob} {name}: timm has no preprocessing for it")
    inner: Any = getattr(probe, "model", None)
    if isinstance(inner, _VITS) and knob == AGN_KNOB:
        blocks = _blocks(name, taps, info, len(inner.blocks), blocks)
        indices = tuple(block - 1 for block in blocks)
        channels = info.channels()[:1] * len(taps)
    elif blocks is not None:
        raise ConfigError(
            f"agn.blocks {blocks}: {knob} {name} is no ViT whose blocks can be chosen; leave it out"
        )
    else:
        positions = _positions(name, taps, info, knob)
        # Where timm leaves out a backbone's first map (dla34), a position is not yet an index.
        indices = tuple(info.out_indices[position] for position in positions)
        channels = [info.channels()[position] for position in positions]
    c1, c2, c3 = map(int, channels)
    s1, s2, s3 = taps
    m1, m2, m3 = data.mean
    d1, d2, d3 = data.std
    spec = BackboneSpec(name, (s1, s2, s3), (c1, c2, c3), (m1, m2, m3), (d1, d2, d3), blocks)
    return spec, indices


def _blocks(
    name: str,
    taps: tuple[int, ...],
    info: FeatureInfo,
    depth: int,
    wanted: tuple[int, int, int] | None,
) -> tuple[int, int, int]:
    """Which blocks of a ViT the maps come from."""
    patch = int(info.reduction()[0])
    if set(taps) != {patch}:
        raise ConfigError(
            f"{AGN_KNOB} {name}: all its maps have stride {patch}; set agn.taps = "
            f"[{patch}, {patch}, {patch}] and image.size to a multiple of "
            f"{math.lcm(patch, SIDE_STEP)}; agn.blocks chooses three of its {depth} blocks"
        )
    if wanted is not None and wanted[-1] > depth:
        raise ConfigError(f"agn.blocks {wanted}: {name} has {depth} blocks")
    return wanted or (depth // 3, 2 * depth // 3, depth)


def _positions(name: str, taps: tuple[int, ...], info: FeatureInfo, knob: str) -> list[int]:
    """Where among a CNN's maps those of the strides are."""
    strides = list(info.reduction())
    missing = [tap for tap in taps if strides.count(tap) != 1]
    if missing:
        raise ConfigError(
            f"{knob} {name}: has no single map at stride {', '.join(map(str, missing))} of "
            f"agn.taps {tuple(taps)}; its maps have strides {strides}"
        )
    positions = [strides.index(tap) for tap in taps]
    if positions != sorted(set(positions)):
        raise ConfigError(f"agn.taps {tuple(taps)}: expected three strides, finest first")
    return positions


def fix_input_shape(network: nn.Module, shape: tuple[int, int]) -> None:
    """Bring the position embeddings of all ViTs in a network to one input shape, for good.

    The maps of such inputs stay the same. ONNX has no operation for doing it with each image.
    """
    for module in network.modules():
        if isinstance(module, _VITS):
            module.set_input_size(img_size=shape)


def trim(backbone: nn.Module) -> nn.Module:
    """Drop stages behind the last tap, which timm leaves in these two families and runs."""
    if isinstance(backbone, EfficientNetFeatures | MobileNetV3Features):
        # Stage numbers count the stem as 0, so stage k is blocks[k - 1].
        backbone.blocks = backbone.blocks[: max(backbone._stage_out_idx)]
    return backbone


class _Undrawn(TorchFunctionMode):
    """Skips drawing initial weights: on the meta device that loads torch's compiler (2 s)."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Give back the tensor that ``torch.nn.init`` was to fill."""
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == "torch.nn.init":
            return kwargs["tensor"]
        return func(*args, **kwargs)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]

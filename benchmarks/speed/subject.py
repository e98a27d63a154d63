"""The detector that is timed: a real guide, the rest random: speed depends on no value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.sources.demo_surface import good_surface, render
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.int8 import quantise
from gtrans_core.detector.on_demand import heat_map_on_demand
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.features.weights import load_guide
from gtrans_core.network.backbone import BackboneSpec
from gtrans_core.network.build import build_trans
from gtrans_core.network.memory import PatchMemory, memory_maps
from gtrans_core.network.scene import SceneModel
from gtrans_core.network.scorer import Scorer

PLAIN = (
    *("agn.taps=[4, 8, 16]", "trans.backbone=agn"),
    *("scoring.scene_share=0", "research.fusion=product"),
)
"""GTrans as published, without the scene model."""


def make_scorer(store: Path, *overrides: str) -> Scorer:
    """A scorer of the default config with some changes."""
    config = load_config(None, overrides)
    guide = load_guide(config.agn, store / "weights")
    shapes = guide.agn.spec.map_shapes(config.image.view_shape)
    scene = random_scene(shapes, config) if config.scoring.has_scene else None
    memory = random_memory(guide.agn.spec, config) if config.has_memory else None
    trans = build_trans(guide.agn.spec, config)
    return Scorer(guide.agn, trans, scene, config, memory)


def packaged(scorer: Scorer, size: int) -> OnnxEngine:
    """What a detector of this scorer holds, on one thread: its large products in int8."""
    return OnnxEngine(heat_map_on_demand(quantise(export_onnx(scorer, (size, size)))), threads=1)


def random_scene(shapes: list[tuple[int, int, int]], config: GTransConfig) -> SceneModel:
    """A scene model of full rank and random values."""
    generator = torch.Generator().manual_seed(0)
    rank = config.scene.rank
    tensors: dict[str, Tensor] = {}
    for i, (channels, height, width) in enumerate(shapes, start=1):
        count = channels * height * width
        tensors |= {
            f"mean_{i}": torch.randn(channels, height, width, generator=generator),
            f"deviation_{i}": torch.ones(channels, 1, 1),
            f"basis_{i}": torch.randn(rank, count, generator=generator) / count**0.5,
            f"gain_{i}": torch.full((rank,), 0.9),
            f"usual_{i}": torch.full((1, height, width), 0.5),
        }
    return SceneModel(tensors)


def random_memory(spec: BackboneSpec, config: GTransConfig) -> PatchMemory:
    """A patch memory of full size and random values."""
    generator = torch.Generator().manual_seed(0)
    channels = sum(memory_maps(spec.channels, spec.strides))
    bank = torch.randn(config.memory.patches, channels, generator=generator)
    return PatchMemory({"bank": bank, "mean": torch.zeros(channels), "usual": torch.tensor(1.0)})


def view_of(size: int) -> npt.NDArray[np.uint8]:
    """A view [3, S, S] of the demo's fabric."""
    return render(good_surface(np.random.default_rng(0), size)).transpose(2, 0, 1).copy()

"""Real detectors of a tiny, untrained network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gtrans_core.config import GTransConfig
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.features.weights import load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.memory import fit_memory, memory_maps
from gtrans_core.network.scene import fit_scene
from gtrans_core.network.scorer import Scorer
from tests.support.records import detector_info


def make_scorer(config: GTransConfig) -> Scorer:
    """An untrained scorer: scores mean nothing, but each image has its own.

    The config's seed draws it. It has a scene model and a patch memory, of noise, where the config
    gives them a share.
    """
    torch.manual_seed(config.seed)
    guide = load_guide(config.agn, Path())
    trans = build_trans(guide.agn.spec, config)
    shapes = guide.agn.spec.map_shapes(config.image.input_shape)
    noise = [torch.rand(6, *shape) for shape in shapes]
    scene = fit_scene(noise, rank=2) if config.scoring.has_scene else None
    memory = None
    if config.has_memory:
        maps = memory_maps(noise, guide.agn.spec.strides)
        memory = fit_memory(maps, patches=20, seed=config.seed)
    return Scorer(guide.agn, trans, scene, config, memory)


def make_detector(config: GTransConfig, **facts: Any) -> Detector:
    """A detector around ``make_scorer``; ``facts`` change its ``detector_info``."""
    return Detector(make_scorer(config), detector_info(config, **facts))


def save_with_graph(folder: Path, config: GTransConfig) -> None:
    """A packaged detector that ONNX Runtime scores, as training makes them by default."""
    scorer = make_scorer(config)
    graph = OnnxEngine(export_onnx(scorer, config.image.view_shape))
    Detector(scorer, detector_info(config), graph).save(folder)

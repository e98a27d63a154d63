"""A detector folder's networks in torch, built only where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor, nn

from gtrans_core.config import GTransConfig
from gtrans_core.detector.files import (
    INFO_NAME,
    MEMORY_NAME,
    SCENE_NAME,
    WEIGHT_NAMES,
    weight_names,
)
from gtrans_core.errors import ConfigError, ModelError
from gtrans_core.network.agn import Agn
from gtrans_core.network.backbone import BackboneSpec, build_backbone
from gtrans_core.network.build import build_trans
from gtrans_core.network.memory import PatchMemory, memory_maps
from gtrans_core.network.scene import AnyScene, read_scene
from gtrans_core.network.scorer import Scorer
from gtrans_core.network.tiling import Tiling


def weight_files(scorer: Scorer, config: GTransConfig) -> dict[str, bytes]:
    """What the files of the networks hold, by name."""
    parts = scorer.agn.backbone, scorer.trans, scorer.scene, scorer.memory
    modules: list[nn.Module] = [part for part in parts if part is not None]
    return {
        name: save({k: v.cpu().contiguous() for k, v in module.state_dict().items()})
        for name, module in zip(weight_names(config), modules, strict=True)
    }


def build_scorer(folder: Path, config: GTransConfig, files: Mapping[str, bytes]) -> Scorer:
    """The networks with their weights, from the bytes of their files.

    Raises:
        ModelError: naming the file that does not fit the config.
    """
    states = {name: load(data) for name, data in files.items()}
    try:
        backbone, spec = build_backbone(
            config.agn.backbone, config.agn.taps, blocks=config.agn.blocks
        )
        trans = build_trans(spec, config)
    except ConfigError as error:
        raise ModelError(f"{folder / INFO_NAME}: {error}") from None
    for module, name in zip((backbone, trans), WEIGHT_NAMES, strict=False):
        try:
            module.load_state_dict(states[name])
        except RuntimeError as error:
            raise _does_not_fit(folder / name, error) from None
    scene = memory = None
    if SCENE_NAME in states:
        scene = _load_scene(folder, states[SCENE_NAME], spec, config)
    if MEMORY_NAME in states:
        memory = _load_memory(folder / MEMORY_NAME, states[MEMORY_NAME], spec)
    return Scorer(Agn(backbone, spec), trans, scene, config, memory)


def _load_scene(
    folder: Path, state: dict[str, Tensor], spec: BackboneSpec, config: GTransConfig
) -> AnyScene:
    path = folder / SCENE_NAME
    try:
        scene = read_scene(state, Tiling(config.image).count)
    except ValueError as error:
        raise _does_not_fit(path, error) from None
    if scene.map_shapes() != spec.map_shapes(config.image.input_shape):
        raise ModelError(f"{path}: does not fit its config (its maps have other shapes)")
    return scene


def _load_memory(path: Path, state: dict[str, Tensor], spec: BackboneSpec) -> PatchMemory:
    try:
        memory = PatchMemory(state)
    except ValueError as error:
        raise _does_not_fit(path, error) from None
    if len(memory.mean) != sum(memory_maps(spec.channels, spec.strides)):
        raise ModelError(f"{path}: does not fit its config (its patches have other channels)")
    return memory


def _does_not_fit(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path}: does not fit its config ({str(error).splitlines()[0]})")

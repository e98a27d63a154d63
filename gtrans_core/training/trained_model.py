"""What training hands to evaluation: the networks, and how they came to be."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from gtrans_core.errors import ModelError
from gtrans_core.network.backbone import agn_spec
from gtrans_core.network.build import build_trans
from gtrans_core.network.memory import PatchMemory
from gtrans_core.network.scene import AnyScene, read_scene
from gtrans_core.network.tiling import Tiling
from gtrans_core.network.trans import Trans
from gtrans_core.storage import write_atomic
from gtrans_core.training.training_info import INFO_NAME, TrainingInfo

_TRANS = "trans.safetensors"
_SCENE = "scene.safetensors"
_MEMORY = "memory.safetensors"


@dataclass(frozen=True)
class TrainedModel:
    """What ``train`` made. A part that the config gives no share is None."""

    trans: Trans
    scene: AnyScene | None
    memory: PatchMemory | None


def save_trained(folder: Path, model: TrainedModel, info: TrainingInfo) -> None:
    """Write the weights, then the facts.

    Raises:
        StorageError: when the folder is not writable or has no room.
    """
    parts = {_TRANS: model.trans, _SCENE: model.scene, _MEMORY: model.memory}
    files = {}
    for name, part in parts.items():
        if part is not None:
            data = save(_on_cpu(part))
            write_atomic(folder / name, data)
            files[name] = hashlib.sha256(data).hexdigest()
    info.model_copy(update={"files": files}).write(folder)


def load_trained(folder: Path) -> tuple[TrainedModel, TrainingInfo]:
    """Read both back.

    Raises:
        ModelError: when a file is missing, damaged, or does not fit its config.
    """
    info = TrainingInfo.read(folder)
    spec = agn_spec(info.config.agn)
    trans = build_trans(spec, info.config)
    scene = memory = None
    try:
        trans.load_state_dict(_read(folder / _TRANS, info))
        if info.config.scoring.has_scene:
            scene = read_scene(_read(folder / _SCENE, info), Tiling(info.config.image).count)
        if info.config.has_memory:
            memory = PatchMemory(_read(folder / _MEMORY, info))
    except (RuntimeError, ValueError) as error:
        first_line = str(error).splitlines()[0]
        raise ModelError(f"{folder}: its weights do not fit its config ({first_line})") from None
    return TrainedModel(trans.eval(), scene, memory), info


def _on_cpu(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}


def _read(path: Path, info: TrainingInfo) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
        expected = info.files.get(path.name)  # earlier versions noted none
        if expected and hashlib.sha256(data).hexdigest() != expected:
            raise ModelError(f"{path}: damaged (its sha256 is not the one in {INFO_NAME})")
        return load(data)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except SafetensorError as error:
        raise ModelError(f"{path}: damaged ({error})") from None

"""What training hands to evaluation: the Trans weights and where they come from. No pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from gtrans_core.config import GTransConfig, describe_validation
from gtrans_core.errors import ModelError
from gtrans_core.network.agn import BackboneSpec, backbone_spec
from gtrans_core.network.build import build_trans
from gtrans_core.network.trans import Trans
from gtrans_core.storage import write_atomic

_INFO = "training.json"
_WEIGHTS = "trans.safetensors"


class TrainingInfo(BaseModel):
    """``training.json``: how these weights came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    cache_key: str
    config: GTransConfig
    weights_sha256: str
    held_out: tuple[str, ...]
    trained_on: int
    steps: int
    seconds: float
    """Wall time of this run's part of it."""
    resumed_at: int | None
    history: list[dict[str, Any]]


def save_trained(folder: Path, trans: Trans, info: TrainingInfo) -> None:
    """Write the weights, then the facts.

    Raises:
        StorageError: when the folder is not writable or has no room.
    """
    state = {name: tensor.cpu().contiguous() for name, tensor in trans.state_dict().items()}
    write_atomic(folder / _WEIGHTS, save(state))
    write_atomic(folder / _INFO, info.model_dump_json(indent=1).encode())


def load_trained(folder: Path) -> tuple[Trans, TrainingInfo, BackboneSpec]:
    """Read both back.

    Raises:
        ModelError: when a file is missing, damaged, or does not fit its config.
    """
    try:
        info = TrainingInfo.model_validate_json((folder / _INFO).read_bytes())
        state = load((folder / _WEIGHTS).read_bytes())
    except OSError as error:
        raise ModelError(f"{error.filename}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise ModelError(f"{folder / _INFO}: {describe_validation(error)}") from None
    except SafetensorError as error:
        raise ModelError(f"{folder / _WEIGHTS}: damaged ({error})") from None
    spec = backbone_spec(info.config.agn.backbone, info.config.agn.taps)
    trans = build_trans(spec, info.config)
    try:
        trans.load_state_dict(state)
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise ModelError(f"{folder / _WEIGHTS}: does not fit its config ({first_line})") from None
    return trans.eval(), info, spec

"""Training state on disk: one verified safetensors file a checkpoint, two generations kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from gtrans_core.storage.atomic import TEMPORARY_SUFFIX
from gtrans_core.storage.documents import parse_json
from gtrans_core.storage.verified import (
    DamagedFileError,
    quarantine,
    read_verified,
    safetensors_header,
    write_verified,
)

GENERATIONS = 2


@dataclass(frozen=True)
class Checkpoint:
    """A moment of training: the steps done, all tensors by name, and small JSON values."""

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write atomically, then forget all but the newest two.

    Raises:
        StorageError: when the folder is not writable or has no room; older ones stay.
    """
    header = {"checkpoint": json.dumps({"step": checkpoint.step, "values": checkpoint.values})}
    tensors = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    data = safetensors.torch.save(tensors, header)
    path = write_verified(folder, f"checkpoint-{checkpoint.step:08d}", "safetensors", data)
    for old in _newest_first(folder)[GENERATIONS:]:
        old.unlink(missing_ok=True)
    return path


def room_for_checkpoints(folder: Path, size: int) -> int:
    """Bytes that checkpoints still need at most: one more than is kept, while it is written."""
    return size * max(GENERATIONS + 1 - len(_newest_first(folder)), 1)


def newest_checkpoint(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that verifies; damaged ones are set aside (and said so).

    What a killed write left is removed: the folder belongs to this process (``storage.exclusive``).
    """
    for unfinished in folder.glob(f".checkpoint-*{TEMPORARY_SUFFIX}"):
        unfinished.unlink(missing_ok=True)
    paths = _newest_first(folder)
    for path in paths:
        try:
            return _read(path)
        except DamagedFileError as error:
            quarantine(path)
            say(f"checkpoint damaged, set aside: {error}")
    if paths:
        say("no intact checkpoint: training starts over")
    return None


def _read(path: Path) -> Checkpoint:
    """A checkpoint whose bytes verify.

    Raises:
        DamagedFileError: when they do not, or are not a checkpoint's.
    """
    data = read_verified(path)
    try:
        header = parse_json(safetensors_header(data)["__metadata__"]["checkpoint"])
        return Checkpoint(header["step"], safetensors.torch.load(data), header["values"])
    except (ValueError, KeyError, TypeError, SafetensorError):
        raise DamagedFileError(f"{path}: not a checkpoint") from None


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.safetensors"), reverse=True)

"""How trained weights came to be: the facts beside them. Read without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from gtrans_core.config import StoredConfig
from gtrans_core.errors import ModelError
from gtrans_core.storage import write_atomic
from gtrans_core.storage.documents import Facts, read_json
from gtrans_core.storage.sealed import sealed

INFO_NAME = "training.json"


class TrainingInfo(Facts):
    """``training.json``: how these weights came to be."""

    key: str
    cache_key: str
    config: StoredConfig
    weights_sha256: str
    held_out: tuple[str, ...]
    """sha256 of the images that set the threshold; none: it is cross-fitted."""
    in_other_light: bool = False
    """Whether the closed-form parts learnt from copies in other light too."""
    trained_on: int
    steps: int
    seconds: float
    """Wall time of this run's part of it."""
    resumed_at: int | None
    history: list[dict[str, Any]]
    files: dict[str, str] = Field(default={})
    """sha256 (hex) of each file of weights; filled in by ``save_trained``."""

    def write(self, folder: Path) -> None:
        """Write ``training.json``.

        Raises:
            StorageError: when the folder is not writable or has no room.
        """
        write_atomic(folder / INFO_NAME, sealed(self.model_dump_json(indent=1)))

    @classmethod
    def read(cls, folder: Path) -> TrainingInfo:
        """Read ``training.json``.

        Raises:
            ModelError: when it is missing or invalid.
        """
        return read_json(folder / INFO_NAME, cls, "the facts of a training", ModelError)

"""The files of a packaged detector: which ones, their facts, their digests. Read without torch.

``detector.json`` holds the facts and the sha256 of each other file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from gtrans_core.config import GTransConfig, StoredConfig
from gtrans_core.detector.promise import Promise
from gtrans_core.errors import ModelError
from gtrans_core.storage.documents import Facts, read_json

INFO_NAME = "detector.json"
SCENE_NAME, MEMORY_NAME = "scene.safetensors", "memory.safetensors"
WEIGHT_NAMES = ("agn.safetensors", "trans.safetensors", SCENE_NAME, MEMORY_NAME)
"""The last two only where the config gives the scene model or the patch memory a share."""
GRAPH_NAME = "network.onnx"
"""The same network as a graph; only where ONNX Runtime is the detector's engine."""


class DetectorInfo(Facts):
    """``detector.json``."""

    schema_version: Literal[1] = 1
    category: str
    config: StoredConfig
    threshold: float
    """An image is anomalous when its score is greater."""
    map_middle: float | None = None
    """The heat map's value in the middle of its drawing range; None, as in detectors of before
    there were maps for the score alone: the threshold."""
    held_out_scores: tuple[float, ...]
    """Raw scores of the good images that the threshold comes from: held out, or cross-fitted."""
    promise: Promise | None = None
    """None: at most ``evaluation.false_alarm_rate``, by held-out images."""
    data_digest: str
    training_key: str
    weights_sha256: str
    engine: Literal["onnxruntime", "torch"] = "torch"
    """What runs the network; filled in by ``Detector``."""
    files: dict[str, str] = Field(default={})
    """sha256 (hex) of each file of weights; filled in by ``Detector.save``."""

    @property
    def map_level(self) -> float:
        """The heat map's value that few good images reach: above it a pixel is unusual."""
        return self.threshold if self.map_middle is None else self.map_middle

    def to_json(self) -> str:
        """As it is stored; the usual promise is not mentioned, so that old digests still hold."""
        return self.model_dump_json(indent=1, exclude=None if self.promise else {"promise"})


def weight_names(config: GTransConfig) -> tuple[str, ...]:
    """The weights files of a detector with this config."""
    has = {SCENE_NAME: config.scoring.has_scene, MEMORY_NAME: config.has_memory}
    return tuple(name for name in WEIGHT_NAMES if has.get(name, True))


def read_info(folder: Path) -> DetectorInfo:
    """The facts of a detector folder, without its weights.

    Raises:
        ModelError: when ``detector.json`` is missing or invalid.
    """
    _refuse_endless(folder / INFO_NAME)
    return read_json(folder / INFO_NAME, DetectorInfo, "the facts of a detector", ModelError)


def detector_digest(folder: Path) -> str:
    """sha256 (hex) of ``detector.json``, which names the sha256 of every other file.

    Raises:
        ModelError: when there is no ``detector.json``.
    """
    _refuse_endless(folder / INFO_NAME)
    try:
        return hashlib.sha256((folder / INFO_NAME).read_bytes()).hexdigest()
    except OSError as error:
        raise _unreadable(folder / INFO_NAME, error) from None


def require_intact(folder: Path) -> DetectorInfo:
    """The facts of a detector folder whose every file is as it was written; nothing is loaded.

    Raises:
        ModelError: naming the file that is missing, extra or changed.
    """
    info = read_info(folder)
    refuse_strangers(folder, tuple(info.files))
    for name in info.files:
        read_listed(folder / name, info)
    return info


def refuse_strangers(folder: Path, names: Sequence[str]) -> None:
    """Refuse a folder with any file but ``detector.json`` and these.

    Raises:
        ModelError: naming the file.
    """
    known = {INFO_NAME, *names}
    for path in sorted(folder.rglob("*")):
        if path.relative_to(folder).as_posix() not in known:
            raise ModelError(f"{path}: does not belong to a detector; refused")


def read_listed(path: Path, info: DetectorInfo) -> bytes:
    """The bytes of a file that the facts name.

    Raises:
        ModelError: when it is missing, or not the one named.
    """
    _refuse_endless(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    if hashlib.sha256(data).hexdigest() != info.files.get(path.name):
        raise ModelError(f"{path}: its sha256 is not the one in {INFO_NAME}; refused")
    return data


def _refuse_endless(path: Path) -> None:
    """Refuse what is there and no file: a pipe would hold its reader, a device has no end."""
    try:
        is_odd = path.exists() and not path.is_file()
    except OSError as error:
        raise _unreadable(path, error) from None
    if is_odd:
        raise ModelError(f"{path}: no plain file; no intact detector there")


def _unreadable(path: Path, error: OSError) -> ModelError:
    return ModelError(f"{path}: cannot be read ({error.strerror}); no intact detector there")

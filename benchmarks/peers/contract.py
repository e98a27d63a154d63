"""What passes between our environment and the peers': a JSON request, an npz and JSON answer.

Imported by both, so it needs nothing but numpy.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PEERS = {
    "padim": "PaDiM, 100 of 176 channels",
    "padim_deep": "PaDiM, strides 8, 16, 32",
    "padim_all": "PaDiM, all 176 channels",
    "patchcore": "PatchCore, coreset 10 %",
    "patchcore_1": "PatchCore, coreset 1 %",
    "stfpm": "STFPM, 20 of its 100 epochs",
    "stfpm_100": "STFPM, all 100 epochs",
}
"""What can be run, and what it is called in a table."""

UNAVAILABLE = {
    "reverse_distillation": (
        "design does not allow: its bottleneck and decoder are ResNets (anomalib 2.7.0: 'Decoder "
        "with architecture tf_efficientnet_lite0 not supported'), and no registry package has "
        "been found that ships ImageNet weights of a ResNet"
    ),
    "efficient_ad": (
        "not available offline: its teacher's weights come from a GitHub release and its penalty "
        "images (imagenette) from a bucket, both only by download"
    ),
    "dinomaly": "not available offline: its DINOv2 encoder's weights come from a model hub",
}
"""Peers that one would expect, and why they cannot be run on the same weights without a network."""

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """One peer, trained once and asked to score each test image alone."""

    peer: str
    """A key of ``PEERS``."""
    seed: int
    train: tuple[str, ...]
    """Good images."""
    test: tuple[str, ...]
    weights: str
    """safetensors of the whole backbone under timm's names."""
    mean: tuple[float, float, float]
    """What the backbone's weights expect to be subtracted from RGB in 0..1."""
    std: tuple[float, float, float]
    output: str
    """Where the answer's npz goes; its facts go beside it as ``.json``."""
    image_size: int = 256
    """Side in pixels that every image is resized to; no crop."""
    threads: int = 1

    def write(self, path: Path) -> None:
        """Store as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2))

    @classmethod
    def read(cls, path: Path) -> Request:
        """Load what ``write`` stored.

        Raises:
            TypeError: for an unknown or missing key.
        """
        entries = json.loads(path.read_text())
        lists = {key: tuple(value) for key, value in entries.items() if isinstance(value, list)}
        return cls(**{**entries, **lists})


@dataclass(frozen=True)
class PeerResult:
    """Raw scores: nothing is normalised, squashed or thresholded."""

    maps: FloatArray
    """[N, S, S], higher is more anomalous, in the order of the test images."""
    scores: FloatArray
    """[N], the peer's own image score."""
    facts: Mapping[str, Any]
    """Cost, sizes, versions and hyper-parameters."""

    def write(self, path: Path) -> None:
        """Store the arrays at ``path`` (npz) and the facts beside them."""
        np.savez(path, maps=self.maps, scores=self.scores)
        facts_path(path).write_text(json.dumps(dict(self.facts), indent=2))

    @classmethod
    def read(cls, path: Path, images: int, size: int) -> PeerResult:
        """Load what ``write`` stored for a number of images, ``size`` pixels a side.

        Raises:
            ValueError: for arrays of another shape or type, or with values that are no numbers.
        """
        with np.load(path, allow_pickle=False) as arrays:
            maps = _checked("maps", arrays["maps"], (images, size, size))
            scores = _checked("scores", arrays["scores"], (images,))
        return cls(maps, scores, json.loads(facts_path(path).read_text()))


def facts_path(output: Path) -> Path:
    """Where the facts of an answer are."""
    return output.with_suffix(".json")


def _checked(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> FloatArray:
    if array.dtype != np.float32 or array.shape != shape:
        raise ValueError(f"{name} are {array.dtype} {array.shape}: expected float32 {shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} hold values that are not finite")
    return array

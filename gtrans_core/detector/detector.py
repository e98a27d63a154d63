"""The packaged detector, one folder of plain files: all networks, preprocessing and threshold.

``detector.json`` holds the facts and the sha256 of each other file; loading checks all of it and
refuses anything else in the folder. No pickle, no code.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from gtrans_core.data.images import decode_view
from gtrans_core.detector.engine import Engine, OnnxEngine
from gtrans_core.detector.files import (
    GRAPH_NAME,
    INFO_NAME,
    DetectorInfo,
    read_info,
    read_listed,
    refuse_strangers,
    weight_names,
)
from gtrans_core.errors import ModelError, require_packages
from gtrans_core.storage import write_atomic
from gtrans_core.storage.sealed import sealed

if TYPE_CHECKING:
    from gtrans_core.network.scorer import Scorer


@dataclass(frozen=True)
class Verdict:
    """What is said of one image."""

    score: float
    is_anomalous: bool


@dataclass(frozen=True)
class Prediction(Verdict):
    """A verdict with its ``heat_map``: fp32 [H, W], as what the network sees."""

    heat_map: npt.NDArray[np.float32]


class Detector:
    """Scores encoded images of one category.

    Args:
        scorer: the networks, or what builds them when they are first asked for.
        info: the facts.
        graph: the same networks for ONNX Runtime, which then scores; None: torch does.
    """

    def __init__(
        self,
        scorer: Scorer | Callable[[], Scorer],
        info: DetectorInfo,
        graph: OnnxEngine | None = None,
    ) -> None:
        self._scorer = scorer
        self.graph = graph
        self.info = info.model_copy(update={"engine": "onnxruntime" if graph else "torch"})

    @property
    def scorer(self) -> Scorer:
        """The networks in torch."""
        if not isinstance(self._scorer, Engine):
            self._scorer = self._scorer()
        return self._scorer

    @property
    def engine(self) -> Engine:
        """What scores."""
        return self.graph or self.scorer

    @property
    def map_level(self) -> float:
        """The heat map's value that few good images reach: above it a pixel is unusual."""
        return self.info.map_level

    @property
    def map_range(self) -> tuple[float, float]:
        """The heat map's drawing range: ``map_level`` sits in its middle."""
        return (0.0, 2.0 * self.map_level)

    def predict_bytes(self, images: Sequence[bytes]) -> list[Prediction]:
        """Predictions of encoded images (PNG, JPEG, ...), in order.

        Raises:
            DataError: when an image cannot be decoded; it is named by its position.
        """
        views = (self.view(data, f"image {i}") for i, data in enumerate(images, start=1))
        return [self.predict_view(view) for view in views]

    def view(self, data: bytes, name: str) -> npt.NDArray[np.uint8]:
        """What the network sees of an encoded image: uint8 [3, H, W].

        Raises:
            DataError: when the image cannot be decoded, naming it.
        """
        return decode_view(data, name, self.info.config.image)

    def predict_view(self, view: npt.NDArray[np.uint8]) -> Prediction:
        """The prediction of what ``view`` returned.

        Raises:
            ModelError: when the score or a pixel of the heat map is not a number: such an image
                must not pass as good.
        """
        heat_map, score = self.engine.score_view(view)
        self._checked(score)
        if not np.isfinite(heat_map).all():
            raise ModelError(f"detector of {self.info.category}: the heat map has nan or inf in it")
        return Prediction(score, score > self.info.threshold, heat_map)

    def judge_view(self, view: npt.NDArray[np.uint8]) -> Verdict:
        """The verdict alone, the same to the last bit: a heat map takes a third of the time.

        Raises:
            ModelError: when the score is not a number.
        """
        score = self.graph.score_alone(view) if self.graph else self.predict_view(view).score
        return Verdict(self._checked(score), score > self.info.threshold)

    def save(self, folder: Path) -> DetectorInfo:
        """Write the folder: weights first, ``detector.json`` last.

        Returns:
            The facts as written, with the sha256 of each file.

        Raises:
            StorageError: when the folder is not writable or has no room.
        """
        from gtrans_core.detector.networks import weight_files

        files = {
            name: _written(folder / name, data)
            for name, data in weight_files(self.scorer, self.info.config).items()
        }
        if self.graph is not None:
            files[GRAPH_NAME] = _written(folder / GRAPH_NAME, self.graph.graph)
        info = self.info.model_copy(update={"files": files})
        write_atomic(folder / INFO_NAME, sealed(info.to_json()))
        return info

    def _checked(self, score: float) -> float:
        if not math.isfinite(score):
            raise ModelError(f"detector of {self.info.category}: the score is {score}")
        return score

    @classmethod
    def load(cls, folder: Path) -> Detector:
        """Read and verify a detector folder.

        Raises:
            ConfigError: when torch is its engine, and not installed.
            ModelError: naming the file that is missing, damaged, changed or does not belong.
        """
        info = read_info(folder)
        names = weight_names(info.config)
        has_graph = info.engine == "onnxruntime"
        refuse_strangers(folder, (*names, GRAPH_NAME) if has_graph else names)
        files = {name: _read_weights(folder / name, info) for name in names}

        def networks() -> Scorer:
            require_packages("torch", "timm")
            from gtrans_core.detector.networks import build_scorer

            return build_scorer(folder, info.config, files)

        if not has_graph:
            return cls(networks(), info)
        # The graph scores without torch's networks, and importing torch takes seconds.
        return cls(networks, info, _load_graph(folder / GRAPH_NAME, info))


def _load_graph(path: Path, info: DetectorInfo) -> OnnxEngine:
    try:
        return OnnxEngine(read_listed(path, info))
    except ValueError as error:
        raise ModelError(f"{path}: not a graph of a detector ({error})") from None


def _written(path: Path, data: bytes) -> str:
    """The sha256 (hex) of what is now in the file."""
    write_atomic(path, data)
    return hashlib.sha256(data).hexdigest()


def _read_weights(path: Path, info: DetectorInfo) -> bytes:
    data = read_listed(path, info)
    try:
        deserialize(data)  # type: ignore[no-untyped-call]  # it has no types
    except SafetensorError as error:
        raise ModelError(f"{path}: not a safetensors file ({error})") from None
    return data

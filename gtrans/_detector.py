"""``gtrans.load``, and what it returns: a detector that scores images of any kind."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import PIL.Image

from gtrans._profile import profile_of
from gtrans_core.batch.images import single_image
from gtrans_core.data.arrays import image_of
from gtrans_core.data.images import view_of
from gtrans_core.errors import DataError
from gtrans_core.tracking.registry.loading import LoadedDetector, load_detector

Image: TypeAlias = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | npt.NDArray[Any] | PIL.Image.Image
)
"""An image to score: a file's path or ``s3://`` address, a file's bytes, an array, or Pillow's.

Files are PNG, JPEG, BMP, TIFF or WebP. Arrays are uint8 [H, W, 3] in RGB (OpenCV reads BGR: give
``image[..., ::-1]``), [H, W, 4] in RGBA or [H, W] in grey, or uint16 [H, W] in grey.
"""


@dataclass(frozen=True, eq=False)
class Prediction:
    """A detector's verdict on one image.

    Attributes:
        score: how unusual the image is: the higher, the more. It has no unit and no upper limit,
            and is to be compared with ``threshold`` alone: each detector has its own scale.
        is_anomalous: ``score > threshold``.
        threshold: the detector's; it comes from good images alone.
        heat_map: how unusual each pixel is, float32 [H, W], on a scale of its own; the
            detector's ``input_shape`` says H and W, and the whole image (or its centre crop, where
            the config has one) is resized to them.
    """

    score: float
    is_anomalous: bool
    threshold: float
    heat_map: npt.NDArray[np.float32] = field(repr=False)
    _view: npt.NDArray[np.uint8] = field(repr=False)
    _map_range: tuple[float, float] = field(repr=False)

    def draw(self) -> PIL.Image.Image:
        """The image in grey under its heat map, RGB, of the heat map's size.

        The bright half of the colours is what few good images reach.
        """
        # matplotlib is slow to import, and only this needs it.
        from gtrans_core.drawing.heat_maps import overlay

        image = np.moveaxis(self._view, 0, -1)
        return PIL.Image.fromarray(overlay(image, self.heat_map, self._map_range))


class Detector:
    """Scores images of one category; ``gtrans.load`` makes one.

    May be used by several threads at once where ONNX Runtime is its engine, as by default.
    """

    def __init__(self, loaded: LoadedDetector) -> None:
        self._detector, self._version = loaded.detector, loaded.version

    @property
    def category(self) -> str:
        """What it was trained on."""
        return self._detector.info.category

    @property
    def version(self) -> int | None:
        """Its number in the registry; None if it was loaded from a folder."""
        return self._version or None

    @property
    def threshold(self) -> float:
        """An image whose score is greater is anomalous."""
        return self._detector.info.threshold

    @property
    def input_shape(self) -> tuple[int, int]:
        """Height and width in pixels of what the network sees, and of its heat maps."""
        return self._detector.info.config.image.view_shape

    def predict(self, image: Image) -> Prediction:
        """Score one image.

        Args:
            image: see ``gtrans.Image``. Of a large JPEG give the path or the bytes: the decoder
                shrinks it, which is quicker and is what training did.

        Raises:
            DataError: for an image that cannot be read or decoded, is too large or too small, or
                is of an unsupported kind.
            StorageError: when the store of an ``s3://`` address does not answer.
            ModelError: when the score is not a number.
        """
        return self._predict(image, "image")

    def predict_many(self, images: Iterable[Image]) -> Iterator[Prediction]:
        """Score images in order, each when its prediction is asked for.

        Args:
            images: any number; they and their predictions are not kept.

        Raises:
            DataError, StorageError, ModelError: as ``predict``; an image without a path is named by
                its position, counted from 1. The images after it are not scored.
        """
        for position, image in enumerate(images, start=1):
            yield self._predict(image, f"image {position}")

    def __repr__(self) -> str:
        version = f"version {self.version}" if self.version else "not registered"
        return f"<gtrans.Detector of {self.category}, {version}>"

    def _predict(self, image: Image, name: str) -> Prediction:
        view = self._view(image, name)
        found = self._detector.predict_view(view)
        return Prediction(
            score=found.score,
            is_anomalous=found.is_anomalous,
            threshold=self.threshold,
            heat_map=found.heat_map,
            _view=view,
            _map_range=self._detector.map_range,
        )

    def _view(self, image: Image, name: str) -> npt.NDArray[np.uint8]:
        """What the network sees, uint8 [3, H, W]."""
        match image:
            case str() | os.PathLike():
                found = single_image(os.fspath(image))
                return self._detector.view(found.read(), found.path)
            case bytes() | bytearray() | memoryview():
                return self._detector.view(bytes(image), name)
            case np.ndarray():
                image = image_of(image, name)
        if not isinstance(image, PIL.Image.Image):
            raise DataError(
                f"{name}: a {type(image).__name__}; expected a path, the bytes of an image file, "
                "an array, or an image of Pillow"
            )
        return view_of(image, name, self._detector.info.config.image)


def load(
    model: str | Path, *, profile: str | Path = "local", store: str | Path | None = None
) -> Detector:
    """Load a detector, every file verified.

    Where the profile, or ``GTRANS_PUBLIC_KEY``, names a public key, a registered model is loaded
    only if it was signed with the private half; where neither does, only if the profile allows
    unsigned models, as ``local`` does. A folder is compared with its own list of digests, which
    finds damage but no forger.

    Args:
        model: ``models:/gtrans-NAME@ALIAS`` (``@champion``, ``@challenger``),
            ``models:/gtrans-NAME/VERSION``, or the folder of a detector (with ``detector.json``).
        profile: whose registry and public key: a name or a TOML file.
        store: folder of the runs, where the profile names no MLflow server; None: what
            ``GTRANS_STORE`` names, else the profile's.

    Raises:
        ModelError: when there is no such detector, or a file is missing, extra, changed or not
            signed.
        ConfigError: for a profile that is wrong, when models must be signed and there is no public
            key to verify them with, and when torch is the detector's engine and not installed.
        TrackingError: when MLflow cannot be reached.
    """
    where = profile_of(profile, store)
    return Detector(load_detector(str(model), where.tracking_uri, where.trust))

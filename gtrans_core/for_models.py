"""What the script inside a registered model imports. These names, and what they do, stay.

A registered model lives for years and brings a copy of this package along; yet where another
version is imported first, its script gets that one's names. So it asks here and nowhere else.
It also relies on ``Detector.predict_bytes``, ``Prediction.score`` and ``.is_anomalous``, and
``TrustPolicy.from_environment().verify(folder, name, whole=False)``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtrans_core.data.images import encode_png
from gtrans_core.detector.files import detector_digest
from gtrans_core.errors import GTransError, ModelError
from gtrans_core.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from gtrans_core.detector.detector import Detector, Prediction

__all__ = [
    "GTransError",
    "ModelError",
    "TrustPolicy",
    "detector_digest",
    "draw_heat_map",
    "load_detector",
]


def load_detector(folder: Path) -> Detector:
    """The detector in a folder, every file verified.

    Raises:
        ModelError: when a file is missing, extra or changed.
    """
    # MLflow also runs the script where it only packs a model: no reason to wait for torch.
    from gtrans_core.detector.detector import Detector

    return Detector.load(folder)


def draw_heat_map(detector: Detector, image: bytes, prediction: Prediction) -> bytes:
    """A PNG of an encoded image under its heat map, in the size of the network's input.

    Raises:
        DataError: when the image cannot be decoded.
    """
    # matplotlib is slow to import, and only this needs it.
    from gtrans_core.drawing.heat_maps import overlay

    view_HWC = np.moveaxis(detector.view(image, "image"), 0, -1)
    return encode_png(overlay(view_HWC, prediction.heat_map, detector.map_range))

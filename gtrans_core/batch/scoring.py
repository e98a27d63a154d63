"""One image: its score as a row, and its heat map as a drawing."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gtrans_core.batch.images import ImageRef
from gtrans_core.batch.rows import ImageRow
from gtrans_core.errors import DataError
from gtrans_core.storage import write_atomic

if TYPE_CHECKING:
    from gtrans_core.detector.detector import Detector, Prediction, Verdict


def score_image(
    detector: Detector, image: ImageRef, data: bytes | DataError, drawing: Path | None
) -> ImageRow:
    """The row of one image; one that cannot be read or decoded has its reason in it.

    Args:
        detector: scores it.
        image: which one.
        data: its bytes, or why it could not be read.
        drawing: PNG file of its heat map; None: not drawn.

    Raises:
        ModelError: when the score is not a number.
        StorageError: when the drawing cannot be written.
    """
    if isinstance(data, DataError):
        return _row(image, None, None, str(data))
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        view = detector.view(data, image.path)
    except DataError as error:
        return _row(image, sha256, None, str(error))
    if drawing is None:
        return _row(image, sha256, detector.judge_view(view), None)
    prediction = detector.predict_view(view)
    _draw(drawing, detector, view, prediction)
    return _row(image, sha256, prediction, None)


def _row(
    image: ImageRef, sha256: str | None, verdict: Verdict | None, error: str | None
) -> ImageRow:
    return ImageRow(
        path=image.path,
        image_sha256=sha256,
        score=None if verdict is None else verdict.score,
        is_anomalous=None if verdict is None else verdict.is_anomalous,
        scored_at=datetime.now(UTC),
        error=error,
        tag=image.tag,
    )


def _draw(drawing: Path, detector: Detector, view: np.ndarray, prediction: Prediction) -> None:
    from gtrans_core.drawing.canvas import to_png
    from gtrans_core.drawing.heat_maps import Example, heat_map_figure

    example = Example(
        name=drawing.name,
        defect="",
        image=np.moveaxis(view, 0, -1),
        heat_map=prediction.heat_map,
        mask=None,
        score=prediction.score,
        is_anomalous=prediction.is_anomalous,
    )
    figure = heat_map_figure(example, detector.info.threshold, detector.map_range)
    write_atomic(drawing, to_png(figure))

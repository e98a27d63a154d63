"""What the test split says of a detector: kept, so that the next run with the same need not ask."""

from __future__ import annotations

from pydantic import ConfigDict

from gtrans_core.drawing.shown import Gallery
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.evaluation.image_table import ImageResult
from gtrans_core.evaluation.robustness import Robustness
from gtrans_core.storage.documents import Facts


class Judged(Facts):
    """All of it but who asks: no run, no gate, no time.

    Attributes:
        metrics: of the split; None where it cannot tell.
        per_defect: how each kind of defect fares.
        good_images: good test images.
        good_flagged: how many of them are flagged.
        robustness: in other light and position; None where that was not tried.
        notes: sentences on how it was calibrated and looked at; empty: there are none.
        feedback: a sentence on the test images that people marked; empty: there are none.
        images: a row each.
        gallery: all that is drawn.
    """

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    metrics: dict[str, float | None]
    per_defect: tuple[DefectResult, ...]
    good_images: int
    good_flagged: int
    robustness: Robustness | None
    notes: str
    feedback: str
    images: tuple[ImageResult, ...]
    gallery: Gallery

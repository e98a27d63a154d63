"""Everything that one evaluation found, as plain files in a folder, which register logs to MLflow.

``record.json`` (numbers and lineage), ``train.json`` and ``test.json`` (manifests),
``history.jsonl`` (the training journal), ``images.parquet`` and ``images.csv`` (a row a test
image), ``report.html`` and ``figures/*.png``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gtrans_core.detector.promise import Promise
from gtrans_core.errors import ModelError
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.evaluation.gate import FALSE_ALARMS, Evidence
from gtrans_core.evaluation.robustness import Robustness
from gtrans_core.storage import write_atomic
from gtrans_core.storage.documents import Facts, read_json
from gtrans_core.storage.sealed import sealed

RECORD = "record.json"
REPORT = "report.html"
HISTORY = "history.jsonl"
TRAIN_MANIFEST, TEST_MANIFEST = "train.json", "test.json"
FIGURES = "figures"
HEADLINE = "Headline/"
"""Before the names of metrics that are shown twice (``EvaluationRecord.charted``)."""
_FIRST = ("defects_missed", "false_alarms", "image_auroc", "au_pro_30")


class EvaluationRecord(Facts):
    """``record.json``. A metric that is not available is None, never 0."""

    category: str
    data_digest: str
    metrics: dict[str, float | None]
    per_defect: tuple[DefectResult, ...]
    threshold: float
    false_alarm_rate: float
    held_out: int
    """Good images that the threshold comes from."""
    promise: Promise | None = None
    """None: at most ``false_alarm_rate``, by held-out images."""
    good_images: int
    good_flagged: int
    training_seconds: float | None
    """Wall time; None where an earlier run did all or part of it."""
    robustness: Robustness | None = None
    """None: no image was scored in other light or position."""
    config: dict[str, Any]
    lineage: dict[str, str]

    @property
    def run_key(self) -> str:
        """The pipeline run that it is of.

        Raises:
            ModelError: when its lineage does not say.
        """
        try:
            return self.lineage["run_key"]
        except KeyError:
            raise ModelError(f"{RECORD}: lineage has no run_key; run the pipeline again") from None

    def numbers(self) -> dict[str, float]:
        """Everything numeric that is available, under the names MLflow shows.

        What a plant asks for first comes first: ``defects_missed`` and ``false_alarms`` are counts.
        """
        row: dict[str, float] = {}
        if self.defective_images:
            row["defects_missed"] = self.defective_images - self.defects_caught
        if self.good_images:
            row["false_alarms"] = self.good_flagged
        row |= {name: value for name, value in self.metrics.items() if value is not None}
        row["threshold"] = self.threshold
        if self.good_images:
            row[FALSE_ALARMS] = self.good_flagged / self.good_images
        if self.training_seconds is not None:
            row["training_seconds"] = self.training_seconds
        if self.robustness is not None:
            row |= self.robustness.numbers()
        for result in self.per_defect:
            row[f"defect/{result.defect}/caught"] = result.caught / result.images
            if result.image_auroc is not None:
                row[f"defect/{result.defect}/image_auroc"] = result.image_auroc
            if result.au_pro_30 is not None:
                row[f"defect/{result.defect}/au_pro_30"] = result.au_pro_30
            row |= {f"defect/{result.defect}/{name}": v for name, v in result.saturated.items()}
        return row

    def charted(self) -> dict[str, float]:
        """``numbers`` for MLflow's pages, those that a plant asks for first once more in front.

        MLflow makes a section of charts of all names that are alike up to a slash, and shows
        sections by name, those without a slash after all kinds of defect.
        """
        numbers = self.numbers()
        first = {HEADLINE + name: numbers[name] for name in _FIRST if name in numbers}
        return {**first, **numbers}

    @property
    def defective_images(self) -> int:
        """Defective test images; without any, nothing is known about misses."""
        return sum(result.images for result in self.per_defect)

    @property
    def defects_caught(self) -> int:
        """Defective test images above the threshold."""
        return sum(result.caught for result in self.per_defect)

    @property
    def in_short(self) -> str:
        """One line: ``55 of 60 defects caught, 0 of 30 false alarms, threshold 1.062``."""
        defects = (
            f"{self.defects_caught} of {self.defective_images} defects caught"
            if self.defective_images
            else "not tested on defects"
        )
        alarms = f"{self.good_flagged} of {self.good_images} false alarms"
        known = [defects, *([alarms] if self.good_images else [])]
        return ", ".join([*known, f"threshold {self.threshold:.4g}"])

    @property
    def test_images(self) -> int:
        """Good and defective test images together."""
        return self.good_images + self.defective_images

    def evidence(self) -> Evidence:
        """What the gate looks at."""
        return Evidence(self.data_digest, self.test_images, self.numbers())

    def write(self, folder: Path) -> None:
        """Write ``record.json``.

        Raises:
            StorageError: when the folder is not writable or has no room.
        """
        write_atomic(folder / RECORD, sealed(self.model_dump_json(indent=1)))

    @classmethod
    def read(cls, folder: Path) -> EvaluationRecord:
        """Read ``record.json``.

        Raises:
            ModelError: when it is missing or invalid.
        """
        return read_json(folder / RECORD, cls, "an evaluation's record", ModelError)

"""One metric code for everybody: raw maps and scores in, a row of numbers out."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtrans_core.evaluation.metrics import image_metrics, pixel_metrics
from gtrans_core.storage import write_atomic


@dataclass(frozen=True)
class Row:
    """What one method does on one category under one seed. Absent metrics are not available."""

    method: str
    category: str
    seed: int
    metrics: dict[str, float]
    facts: dict[str, Any] = field(default_factory=dict)
    unit: str = ""
    """What it was measured together with."""

    def of(self, unit: str) -> Row:
        """The same row, as part of a unit."""
        return replace(self, unit=unit)


def measured(
    labels: npt.NDArray[np.bool_],
    masks: npt.NDArray[np.bool_] | None,
    maps: npt.NDArray[np.float32],
    scores: npt.NDArray[np.floating[Any]],
) -> dict[str, float]:
    """Image metrics, and pixel metrics where there are masks, on raw values."""
    metrics = image_metrics(labels, scores)
    return metrics if masks is None else metrics | pixel_metrics(masks, maps)


def write_rows(path: Path, rows: list[Row]) -> None:
    """Write rows as JSON."""
    write_atomic(path, json.dumps([asdict(row) for row in rows], indent=1).encode())


def read_rows(path: Path) -> list[Row]:
    """Rows that ``write_rows`` wrote; none where there is no file."""
    if not path.is_file():
        return []
    return [Row(**values) for values in json.loads(path.read_bytes())]

"""One image's row, and the columns of the table of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

TAG = "tag"
"""A column of parts alone: tells, without reading an image again, that it has not changed."""

COLUMNS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field("image_sha256", pa.string()),  # null: the file could not be read
        pa.field("score", pa.float64()),  # null, like is_anomalous: see error
        pa.field("is_anomalous", pa.bool_()),
        pa.field("threshold", pa.float64(), nullable=False),
        pa.field("category", pa.string(), nullable=False),
        pa.field("model_version", pa.int64()),  # null: a detector's folder, not registered
        pa.field("model_digest", pa.string(), nullable=False),
        pa.field("scored_at", pa.timestamp("ms", tz="UTC"), nullable=False),
        pa.field("error", pa.string()),
    ]
)
PART_COLUMNS = COLUMNS.append(pa.field(TAG, pa.string(), nullable=False))


@dataclass(frozen=True)
class ScoringModel:
    """Which model scores.

    Attributes:
        category: what it was trained on.
        version: its number in the registry; None for a detector's folder.
        digest: sha256 (hex) of its ``detector.json``, which names every other file's.
        threshold: an image is anomalous when its score is greater.
    """

    category: str
    version: int | None
    digest: str
    threshold: float


@dataclass(frozen=True)
class ImageRow:
    """What is known of one image; either ``error`` or ``score`` and ``is_anomalous`` are None."""

    path: str
    image_sha256: str | None
    score: float | None
    is_anomalous: bool | None
    scored_at: datetime
    error: str | None
    tag: str


def to_table(rows: Sequence[ImageRow], model: ScoringModel) -> pa.Table:
    """Rows as a table of ``PART_COLUMNS``."""
    same = {
        "threshold": model.threshold,
        "category": model.category,
        "model_version": model.version,
        "model_digest": model.digest,
    }
    return pa.Table.from_pylist([{**vars(row), **same} for row in rows], schema=PART_COLUMNS)

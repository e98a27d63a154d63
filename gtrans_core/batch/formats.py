"""The finished table as its name's suffix says: parquet, CSV or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from gtrans_core.storage import replacing
from gtrans_core.system.spreadsheet import without_formulas

PARQUET = ".parquet"


def write_as_suffix_says(table: Path, out: Path) -> None:
    """Write a parquet file's rows as CSV (with a line of headings) or as JSON lines (UTF-8).

    What is null is an empty field or ``null``; times are ISO 8601 in UTC.

    Args:
        table: the parquet file.
        out: its suffix is one of ``TEXT_FORMATS``.

    Raises:
        StorageError: when it cannot be written.
    """
    with replacing(out) as file, pq.ParquetFile(table) as rows:
        TEXT_FORMATS[out.suffix](rows, file)


def _write_csv(rows: pq.ParquetFile, file: BinaryIO) -> None:
    with csv.CSVWriter(file, rows.schema_arrow) as writer:
        for batch in rows.iter_batches():
            writer.write_table(without_formulas(pa.Table.from_batches([batch])))


def _write_json_lines(rows: pq.ParquetFile, file: BinaryIO) -> None:
    for batch in rows.iter_batches():
        for row in batch.to_pylist():
            file.write(json.dumps(row, ensure_ascii=False, default=_iso).encode() + b"\n")


def _iso(value: datetime) -> str:
    return value.isoformat()


TEXT_FORMATS: dict[str, Callable[[pq.ParquetFile, BinaryIO], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
}
SUFFIXES = (PARQUET, *TEXT_FORMATS)

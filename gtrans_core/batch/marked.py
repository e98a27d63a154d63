"""Rows of a table of results that a person marked: those whose added column ``truth`` is filled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from gtrans_core.batch.formats import PARQUET, SUFFIXES
from gtrans_core.errors import DataError
from gtrans_core.storage.documents import parse_json
from gtrans_core.system.spreadsheet import as_it_was

TRUTH = "truth"
_NEEDED = ("path", "image_sha256", "score", "threshold", "category", "model_digest")


@dataclass(frozen=True)
class MarkedRow:
    """A scored image and what it shows, as a person says."""

    path: str
    image_sha256: str
    score: float
    threshold: float
    category: str
    model_version: int | None
    model_digest: str
    truth: str


def marked_rows(table: Path) -> list[MarkedRow]:
    """The rows of a table of ``gtrans predict --out`` whose column ``truth`` is filled.

    Args:
        table: parquet, CSV or JSON lines, by its suffix.

    Raises:
        DataError: when it cannot be read or lacks a column.
    """
    rows = _rows(table)
    marked = [row for row in rows if str(row.get(TRUTH) or "").strip()]
    if not marked:
        raise DataError(
            f"{table}: no row is marked; add a column {TRUTH} with good, or the kind of defect, "
            "where the verdict is wrong"
        )
    return [_marked(table, number, row) for number, row in enumerate(marked, start=1)]


def _marked(table: Path, number: int, row: dict[str, Any]) -> MarkedRow:
    missing = [name for name in _NEEDED if row.get(name) in (None, "")]
    if missing:
        raise DataError(f"{table}: marked row {number} has no {missing[0]}")
    version = row.get("model_version")
    try:
        return MarkedRow(
            path=str(row["path"]),
            image_sha256=str(row["image_sha256"]),
            score=float(row["score"]),
            threshold=float(row["threshold"]),
            category=str(row["category"]),
            model_version=None if version in (None, "") else int(version),
            model_digest=str(row["model_digest"]),
            truth=str(row[TRUTH]).strip(),
        )
    except (ValueError, TypeError) as error:
        raise DataError(f"{table}: marked row {number}: {error}") from None


def _rows(table: Path) -> list[dict[str, Any]]:
    if table.suffix not in SUFFIXES:
        raise DataError(f"{table}: expected a name that ends in {', '.join(SUFFIXES)}")
    try:
        if table.suffix == PARQUET:
            found: list[dict[str, Any]] = pq.read_table(table).to_pylist()
        elif table.suffix == ".csv":
            found = [_unmarked(row) for row in _read_csv(table).to_pylist()]
        else:
            lines = table.read_text("utf-8").splitlines()
            found = [dict(parse_json(line)) for line in lines if line.strip()]
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{table}: cannot be read as {table.suffix} ({reason})") from None
    return found


def _read_csv(table: Path) -> pa.Table:
    """A CSV as we write it, or as a spreadsheet of a country with decimal commas saves it again."""
    with table.open("rb") as file:
        first = file.readline()
    has_commas = first.count(b";") > first.count(b",")
    text = dict.fromkeys(("path", "image_sha256", "category", "model_digest", TRUTH), pa.string())
    return csv.read_csv(
        table,
        parse_options=csv.ParseOptions(delimiter=";" if has_commas else ","),
        convert_options=csv.ConvertOptions(
            column_types=text, decimal_point="," if has_commas else "."
        ),
    )


def _unmarked(row: dict[str, Any]) -> dict[str, Any]:
    return {key: as_it_was(cell) if isinstance(cell, str) else cell for key, cell in row.items()}

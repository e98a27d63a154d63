"""Rows kept beside the result while a batch runs: ``RESULT.parts/``, merged at the end.

A part is written whole or not at all, so that a kill at any moment costs at most the images since
the last one. ``run.json`` says which model the rows are of. The last row of a path counts.
"""

from __future__ import annotations

import io
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from gtrans_core.batch.formats import PARQUET
from gtrans_core.batch.images import ImageRef
from gtrans_core.batch.rows import COLUMNS, PART_COLUMNS, TAG, ImageRow, ScoringModel, to_table
from gtrans_core.errors import ModelError, StorageError
from gtrans_core.storage import exclusive, replacing, write_atomic
from gtrans_core.storage.documents import Facts
from gtrans_core.storage.sealed import sealed, unsealed
from gtrans_core.storage.verified import DamagedFileError, read_verified, write_verified

ROWS_A_PART = 200
SECONDS_A_PART = 20.0
_PARTS_A_ROW_GROUP = 100
_RUN_NAME = "run.json"


class _Run(Facts):
    schema_version: Literal[1] = 1
    run_id: str
    model_digest: str


@dataclass(frozen=True)
class Kept:
    """The current row of an image: what it was scored from, and where the row is."""

    tag: str
    image_sha256: str | None
    part: Path
    row: int


class Parts:
    """The rows of one unfinished table. Made by ``open_parts``."""

    def __init__(self, folder: Path, run_id: str, model: ScoringModel) -> None:
        self.run_id = run_id
        self.kept: dict[str, Kept] = {}
        self._folder = folder
        self._model = model
        self._rows: list[ImageRow] = []
        self._last_write = time.monotonic()
        for path in self._paths():
            self._index(path, _read_part(path))

    def has(self, image: ImageRef) -> bool:
        """Whether there is a row of this image and its tag says that it has not changed."""
        kept = self.kept.get(image.path)
        if kept is None or kept.image_sha256 is None:  # one that could not be read is tried again
            return False
        return image.tag != "" and image.tag == kept.tag

    def are_merged(self, out: Path, images: Sequence[ImageRef]) -> bool:
        """Whether ``out`` is the table of these very images, none of which has changed since."""
        if not out.exists() or not all(image.path in self.kept for image in images):
            return False
        merged = pq.read_table(out, columns=["path"])["path"].to_pylist()
        changed = (i for i in images if self.kept[i.path].image_sha256 and not self.has(i))
        return set(merged) == {image.path for image in images} and not any(changed)

    def add(self, row: ImageRow) -> None:
        """Take a row; it is on disk after ``ROWS_A_PART`` rows or ``SECONDS_A_PART``."""
        self._rows.append(row)
        waited = time.monotonic() - self._last_write
        if len(self._rows) >= ROWS_A_PART or waited >= SECONDS_A_PART:
            self.write()

    def write(self) -> None:
        """Put the rows taken so far on disk.

        Raises:
            StorageError: when the folder cannot be written or has no room.
        """
        if self._rows:
            table = to_table(self._rows, self._model)
            buffer = io.BytesIO()
            pq.write_table(table, buffer)
            stem = f"part-{self._next_number():06}"
            path = write_verified(self._folder, stem, "parquet", buffer.getvalue())
            self._index(path, table)
            self._rows.clear()
        self._last_write = time.monotonic()

    def merge(self, out: Path, paths: Collection[str]) -> None:
        """Write the current rows of ``paths`` as one table, in the order they were scored.

        Raises:
            StorageError: when it cannot be written; the parts stay.
        """
        self.write()
        wanted = set(paths)
        with replacing(out) as file, pq.ParquetWriter(file, COLUMNS) as writer:
            parts = self._paths()
            for start in range(0, len(parts), _PARTS_A_ROW_GROUP):
                some = parts[start : start + _PARTS_A_ROW_GROUP]
                tables = [self._current(part, wanted) for part in some]
                writer.write_table(pa.concat_tables(tables).drop_columns([TAG]))

    def _current(self, part: Path, wanted: set[str]) -> pa.Table:
        """The rows of a part that no later one replaced."""
        table = _read_part(part)
        mask = [
            path in wanted and (self.kept[path].part, self.kept[path].row) == (part, row)
            for row, path in enumerate(table["path"].to_pylist())
        ]
        return table.filter(pa.array(mask, pa.bool_()))

    def _index(self, part: Path, table: pa.Table) -> None:
        columns = (table[name].to_pylist() for name in ("path", TAG, "image_sha256"))
        for row, (path, tag, sha256) in enumerate(zip(*columns, strict=True)):
            self.kept[path] = Kept(tag, sha256, part, row)

    def _next_number(self) -> int:
        # Not their count: a damaged one may have been removed.
        return max((int(path.stem.split("-")[1]) for path in self._paths()), default=-1) + 1

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("part-*.parquet"))


@contextmanager
def open_parts(out: Path, model: ScoringModel) -> Iterator[Parts]:
    """The parts of a table to be, empty or as an interrupted run left them; one process at a time.

    Raises:
        StorageError: when the table is there already, or its folder cannot be written.
        ModelError: when the parts there were made by another model.
    """
    folder = parts_folder(out)
    refuse_existing(out)
    with exclusive(folder / "run"):
        refuse_existing(out)  # by the process we waited for
        yield Parts(folder, _run_in(folder, model).run_id, model)


def parts_folder(out: Path) -> Path:
    """Where the rows of an unfinished table are."""
    return out.with_name(out.name + ".parts")


def merged_table(out: Path) -> Path:
    """Where all rows come together as parquet: the result itself, unless its suffix is another."""
    return out if out.suffix == PARQUET else parts_folder(out) / f"merged{PARQUET}"


def refuse_existing(out: Path) -> None:
    """A finished table is never overwritten.

    Raises:
        StorageError: when it is there (and not merely its parts still to be removed).
    """
    if out.exists() and not (parts_folder(out) / _RUN_NAME).exists():
        raise StorageError(f"{out}: is there already; remove it or choose another --out")


def remove_parts(out: Path) -> None:
    """Remove what a finished table no longer needs."""
    # run.json goes first: what a kill in between leaves is no longer taken for parts.
    (parts_folder(out) / _RUN_NAME).unlink(missing_ok=True)
    shutil.rmtree(parts_folder(out), ignore_errors=True)


def _run_in(folder: Path, model: ScoringModel) -> _Run:
    path = folder / _RUN_NAME
    if not path.exists():
        for leftover in folder.glob("part-*.parquet"):  # of a removal that was interrupted
            leftover.unlink()
        run = _Run(
            run_id=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}",
            model_digest=model.digest,
        )
        write_atomic(path, sealed(run.model_dump_json()))
        return run
    try:
        run = _Run.model_validate_json(unsealed(path.read_bytes()))
    except (OSError, ValueError):
        raise StorageError(f"{path}: damaged; remove {folder} and start again") from None
    if run.model_digest != model.digest:
        raise ModelError(
            f"{folder}: holds rows of another model ({run.model_digest[:12]}, now "
            f"{model.digest[:12]}); go on with that one, or remove the folder"
        )
    return run


def _read_part(path: Path) -> pa.Table:
    is_earlier = re.fullmatch(r"part-\d+", path.stem)  # of a version that noted no sha256
    try:
        data = path.read_bytes() if is_earlier else read_verified(path)
        return pq.read_table(pa.BufferReader(data), schema=PART_COLUMNS)
    except (OSError, DamagedFileError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0].removeprefix(f"{path}: ")
        raise StorageError(f"{path}: damaged ({reason}); remove it, the rest stays") from None

"""The loop over all images of a batch: read ahead, score, keep, stop when asked."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from gtrans_core.batch.formats import write_as_suffix_says
from gtrans_core.batch.images import ImageRef, heat_map_files
from gtrans_core.batch.parts import Parts, merged_table, open_parts, remove_parts
from gtrans_core.batch.rows import ScoringModel
from gtrans_core.batch.scoring import score_image
from gtrans_core.errors import DataError, PreemptedError

if TYPE_CHECKING:
    from gtrans_core.detector.detector import Detector

_READERS = 4
_READ_AHEAD = 8
"""Images in memory at a time: S3 answers while the network computes."""

OnFinished = Callable[[str, Iterator[tuple[date, float]]], None]
"""Gets the run's id and the day (UTC) and score of every scored image; may be called again for
the same run after a kill."""


@dataclass(frozen=True)
class BatchSummary:
    """What a finished table holds.

    Attributes:
        images: rows.
        flagged: of them, with a score above the threshold.
        errors: ``PATH: reason`` of each image that could not be scored.
        kept: rows that an interrupted run had left.
        changed: images scored again, since their bytes had changed.
    """

    images: int
    flagged: int
    errors: Sequence[str]
    kept: int
    changed: int


def score_to_table(
    detector: Detector,
    model: ScoringModel,
    images: Sequence[ImageRef],
    out: Path,
    heat_maps: Path | None,
    *,
    on_progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
    on_finished: OnFinished,
) -> BatchSummary:
    """Score images into a table, or go on where an interrupted call ended.

    Args:
        detector: scores them.
        model: which one that is; an unfinished table of another model is refused.
        images: all of them; of what an interrupted call scored, those not here are left out.
        out: the table, see ``rows.COLUMNS``; its suffix is one of ``formats.SUFFIXES``.
        heat_maps: folder of drawings; None: not drawn. Images kept are not drawn again.
        on_progress: called with (images done, images in all).
        stop_requested: asked after each image.
        on_finished: called when the table is there.

    Raises:
        PreemptedError: after ``stop_requested`` said so; the same call goes on later.
        StorageError: when the table is there already, a folder cannot be written, or the store of
            the images does not answer; the same call goes on later.
        ModelError: when a score is not a number, or parts are there of another model.
    """
    table = merged_table(out)
    with open_parts(out, model) as parts:
        if parts.are_merged(table, images):  # only the tidying up was missed
            counts = Counter(kept=len(images))
        else:
            counts = _score_all(detector, parts, images, heat_maps, on_progress, stop_requested)
            parts.merge(table, [image.path for image in images])
        if table != out:
            write_as_suffix_says(table, out)
        on_finished(parts.run_id, _days_and_scores(table))
        summary = _summary(table, counts)
        remove_parts(out)
    return summary


def _score_all(
    detector: Detector,
    parts: Parts,
    images: Sequence[ImageRef],
    heat_maps: Path | None,
    on_progress: Callable[[int, int], None],
    stop_requested: Callable[[], bool],
) -> Counter[str]:
    drawings = heat_map_files(images, heat_maps) if heat_maps else [None] * len(images)
    todo = [
        (image, drawing)
        for image, drawing in zip(images, drawings, strict=True)
        if not parts.has(image)
    ]
    done = len(images) - len(todo)
    counts = Counter(kept=done)
    drawing_of = {image.path: drawing for image, drawing in todo}
    try:
        for image, data in read_ahead(image for image, _ in todo):
            if stop_requested():
                raise PreemptedError(
                    f"stopped after {done} of {len(images)} images; they are kept, "
                    "the same command goes on"
                )
            before = parts.kept.get(image.path)
            if before and before.image_sha256 == _sha256(data):
                counts["kept"] += 1
            else:
                counts["changed"] += before is not None
                parts.add(score_image(detector, image, data, drawing_of[image.path]))
            done += 1
            on_progress(done, len(images))
    finally:
        parts.write()
    return counts


def read_ahead(
    images: Iterable[ImageRef],
) -> Iterator[tuple[ImageRef, bytes | DataError]]:
    """Each image with its bytes, or with the reason why it has none, in order.

    Raises:
        StorageError: when the store of an image does not answer.
    """
    waiting: deque[tuple[ImageRef, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_READERS) as pool:
        try:
            for image in images:
                waiting.append((image, pool.submit(image.read)))
                if len(waiting) == _READ_AHEAD:
                    yield _next(waiting)
            while waiting:
                yield _next(waiting)
        finally:
            pool.shutdown(cancel_futures=True)


def _next(
    waiting: deque[tuple[ImageRef, Future[bytes]]],
) -> tuple[ImageRef, bytes | DataError]:
    image, reading = waiting.popleft()
    try:
        return image, reading.result()
    except DataError as error:
        return image, error


def _sha256(data: bytes | DataError) -> str | None:
    return None if isinstance(data, DataError) else hashlib.sha256(data).hexdigest()


def _days_and_scores(table: Path) -> Iterator[tuple[date, float]]:
    for batch in pq.ParquetFile(table).iter_batches(columns=["scored_at", "score"]):
        for when, score in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            if score is not None:
                yield when.date(), score


def _summary(table: Path, counts: Counter[str]) -> BatchSummary:
    images, flagged, errors = 0, 0, list[str]()
    for batch in pq.ParquetFile(table).iter_batches(columns=["is_anomalous", "error"]):
        images += batch.num_rows
        flagged += sum(1 for flag in batch["is_anomalous"].to_pylist() if flag)
        errors += [error for error in batch["error"].to_pylist() if error is not None]
    return BatchSummary(images, flagged, errors, counts["kept"], counts["changed"])

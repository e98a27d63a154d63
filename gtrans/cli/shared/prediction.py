"""What ``gtrans predict`` does with its images: lines on the terminal, or a table in a file."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from types import FrameType

from rich.console import Console

from gtrans.pipelines.embedded.progress_view import progress_view
from gtrans_core.batch.images import ImageRef, heat_map_files
from gtrans_core.batch.rows import ImageRow, ScoringModel
from gtrans_core.batch.run import BatchSummary, read_ahead, score_to_table
from gtrans_core.batch.scoring import score_image
from gtrans_core.data.pictures import by_suffix
from gtrans_core.detector.detector import Detector
from gtrans_core.errors import DataError, StorageError
from gtrans_core.system.text import printable, score_text
from gtrans_core.watch.record import ScoreRecorder, Watched, record_all

_STEP = "predict"
_ERRORS_SHOWN = 20

_log = logging.getLogger(__name__)


def print_scores(
    detector: Detector,
    model: ScoringModel,
    images: Sequence[ImageRef],
    left_out: Sequence[str],
    heat_maps: Path | None,
    watched: Path | None,
) -> None:
    """One line an image, as it is scored.

    Raises:
        DataError: at the end, naming the images that could not be scored.
    """
    console = Console()
    target = "image -> heat map" if heat_maps else "image"
    console.print(_columns("verdict", "score", "threshold", target), markup=False)
    drawings = heat_map_files(images, heat_maps) if heat_maps else [None] * len(images)
    errors: list[str] = []
    with _recording(watched, model) as record:
        for (image, data), drawing in zip(read_ahead(images), drawings, strict=True):
            row = score_image(detector, image, data, drawing)
            if row.score is None:
                errors.append(str(row.error))
                _print_line(console, _columns("no score", "-", "-", str(row.error)), "yellow")
                continue
            record(row.score)
            _print_row(console, row, row.score, model.threshold, drawing)
    for line in _left_out(left_out):
        _print_line(console, line, "")
    _refuse(errors, len(images))


def write_table(
    detector: Detector,
    model: ScoringModel,
    images: Sequence[ImageRef],
    left_out: Sequence[str],
    out: Path,
    heat_maps: Path | None,
    watched: Path | None,
) -> None:
    """A parquet table, with a progress bar; goes on where an interrupted call ended.

    Raises:
        DataError: at the end, naming images that could not be scored; the table has them too.
        PreemptedError: on SIGTERM and Ctrl-C.
    """
    console = Console()
    with progress_view(console, (_STEP,), verbose=False) as show, _stop_signal() as stopped:

        def tell(kind: str, **fields: object) -> None:
            show({"step": _STEP, "kind": kind, "time": time.time(), **fields})

        tell("started")
        summary = score_to_table(
            detector,
            model,
            images,
            out,
            heat_maps,
            on_progress=lambda done, total: tell(
                "advanced", what="images", done=done, total=total, note=""
            ),
            stop_requested=stopped,
            on_finished=lambda run_id, scores: _record_batch(watched, model, run_id, scores),
        )
        tell("finished", results={})
    _print_line(console, "; ".join([_summary_line(summary, out), *_left_out(left_out)]), "")
    _refuse(summary.errors, summary.images)


@contextmanager
def _recording(watched: Path | None, model: ScoringModel) -> Iterator[Callable[[float], None]]:
    version = model.version
    if watched is None or version is None:
        yield lambda _score: None
        return
    with ScoreRecorder(watched) as recorder:
        yield lambda score: recorder.record(model.category, version, model.digest, score)


def _record_batch(
    watched: Path | None, model: ScoringModel, run_id: str, scores: Iterator[tuple[date, float]]
) -> None:
    if watched is None or model.version is None:
        return
    try:
        record_all(watched, Watched(model.category, model.version, model.digest), run_id, scores)
    except StorageError as error:  # the table is there; that is what was asked for
        _log.warning("scores are not kept for gtrans drift: %s", error)


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or Ctrl-C came. The first one is noted, the second one ends at once."""
    seen = False
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        del number, frame
        seen = True
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: seen
    finally:
        restore()


def _print_row(
    console: Console, row: ImageRow, score: float, threshold: float, drawing: Path | None
) -> None:
    word = "flagged" if row.is_anomalous else "ok"
    named = f"{row.path} -> {drawing}" if drawing else row.path
    line = _columns(word, score_text(score), score_text(threshold), named)
    _print_line(console, line, "red" if row.is_anomalous else "green")


def _print_line(console: Console, line: str, style: str) -> None:
    console.print(printable(line), style=style, soft_wrap=True, markup=False, highlight=False)


def _columns(verdict: str, score: str, threshold: str, files: str) -> str:
    return f"{verdict:8}  {score:>9}  {threshold:>9}  {files}"


def _summary_line(summary: BatchSummary, out: Path) -> str:
    facts = [f"{summary.images} images", f"{summary.flagged} flagged"]
    if summary.errors:
        facts.append(f"{len(summary.errors)} not scored")
    if summary.kept:
        facts.append(f"{summary.kept} kept from before")
    if summary.changed:
        facts.append(f"{summary.changed} scored again, since they changed")
    return f"{out}: {', '.join(facts)}"


def _left_out(names: Sequence[str]) -> list[str]:
    return [f"left out, since they are no images: {by_suffix(names)}"] if names else []


def _refuse(errors: Sequence[str], images: int) -> None:
    if not errors:
        return
    lines = [f"{len(errors)} of {images} images could not be scored", *errors[:_ERRORS_SHOWN]]
    if len(errors) > _ERRORS_SHOWN:
        lines.append(f"and {len(errors) - _ERRORS_SHOWN} more")
    raise DataError("\n  ".join(lines))

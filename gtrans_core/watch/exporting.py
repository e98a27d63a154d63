"""Marked images as test images of a category, for the next run: ``DIR/test/TRUTH/feedback-...``."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gtrans_core.data.kinds import FEEDBACK_PREFIX
from gtrans_core.data.listing import DataFile, list_files
from gtrans_core.storage import write_atomic
from gtrans_core.watch.feedback import FeedbackBook, Statement


@dataclass(frozen=True)
class Exported:
    """What came of it.

    Attributes:
        written: images that are new in the folder.
        there: images that it had, under the same label.
        moved: images of an earlier export that people say something else of by now.
        disputed: what the folder says of other images and people do not, a line each.
    """

    written: int
    there: int
    moved: int
    disputed: tuple[str, ...]


def export(book: FeedbackBook, statements: Iterable[Statement], folder: Path) -> Exported:
    """Write what is not in the folder yet, so that the next run reads each image once.

    Files that are there stay as they are. One that an earlier export wrote goes to another kind
    when people changed their mind, unless somebody drew a mask for it.

    Args:
        book: has the images.
        statements: those that count (``latest``).
        folder: the category's, or a new one.

    Raises:
        StorageError: when an image is gone, or the folder cannot be written.
        DataError: when the folder cannot be read.
    """
    there = _Category(folder)
    written = known = moved = 0
    disputed = []
    for statement in statements:
        target = folder / "test" / statement.truth / statement.file_name
        twin = there.exported(statement)
        data = b"" if twin else book.image(statement)
        twin = twin or there.with_bytes(data)
        if twin is None:
            write_atomic(target, data)
            written += 1
        elif twin.defect == statement.truth:
            known += 1
        elif twin.part == "test" and there.is_bare_export(twin):
            target.parent.mkdir(parents=True, exist_ok=True)
            twin.path.replace(target.with_name(twin.path.name))
            moved += 1
        else:
            disputed.append(f"{twin.name}: there as {twin.defect}, marked as {statement.truth}")
    return Exported(written, known, moved, tuple(disputed))


class _Category:
    """Images and masks of a category's folder, found by content."""

    def __init__(self, folder: Path) -> None:
        files = list_files(folder).files if folder.is_dir() else ()
        self._images = [file for file in files if file.part != "ground_truth"]
        self._masks = [file for file in files if file.part == "ground_truth"]
        self._by_size: dict[int, list[DataFile]] = defaultdict(list)
        for file in self._images:
            self._by_size[file.path.stat().st_size].append(file)

    def exported(self, statement: Statement) -> DataFile | None:
        """The image that an earlier export wrote, wherever it is by now."""
        stem = Path(statement.file_name).stem
        return next((file for file in self._images if file.path.stem == stem), None)

    def with_bytes(self, data: bytes) -> DataFile | None:
        """The image with these very bytes."""
        digest = hashlib.sha256(data).digest()
        alike = self._by_size[len(data)]
        return next(
            (file for file in alike if hashlib.sha256(file.path.read_bytes()).digest() == digest),
            None,
        )

    def is_bare_export(self, image: DataFile) -> bool:
        """Whether an export wrote it, and nobody drew a mask for it."""
        stem = image.path.stem
        is_exported = stem.startswith(FEEDBACK_PREFIX)
        return is_exported and not any(stem in mask.place for mask in self._masks)

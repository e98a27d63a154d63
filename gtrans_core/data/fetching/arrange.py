"""Data sets in official layouts of their own, arranged into MVTec's.

Images are hard-linked (copied where the file system cannot link), masks become two-valued PNGs, and
the source stays as it is. Each source (``visa``, ``btad``) says which file belongs where.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gtrans_core.config import digest_of
from gtrans_core.data.fetching.published import (
    Publication,
    archive_of,
    fetch_official,
    require_category,
)
from gtrans_core.data.images import encode_mask
from gtrans_core.data.masks import decode_class_mask
from gtrans_core.data.sources.known import OnProgress, Say
from gtrans_core.errors import DataError
from gtrans_core.storage import prepare_folder, require_free_space


@dataclass(frozen=True)
class Placed:
    """A file, and where it belongs in the MVTec layout."""

    source: Path
    place: str
    """Below the category's folder, such as ``test/bad/000.JPG``."""
    keeps_values: bool = False
    """Of a mask: whether its values say something, so that it stays as it is."""

    @property
    def is_converted(self) -> bool:
        """Whether it is a mask, to be made two-valued."""
        return self.place.startswith("ground_truth/") and not self.keeps_values


@dataclass(frozen=True)
class Layout:
    """A layout that one publication made up."""

    publication: Publication
    plan: Callable[[Path, str], Sequence[Placed]]
    """Where the files of a category belong, given the folder of all categories and its name;
    raises DataError for a file that is missing or out of place."""
    has_good_as_mvtec: bool = False
    """Whether it keeps ``train/good`` where MVTec AD does, and differs elsewhere."""
    version: int = 1
    """Of what is arranged, and how masks are converted: another one is another folder."""


def fetch_arranged(
    layout: Layout, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    """The local folder (MVTec layout) of a published category; downloaded and arranged once.

    Raises:
        DataError: for an archive that is not the pinned one, damaged, unsafe or incomplete, or
            where there is no link to one.
        ConfigError: when the URL or the digest in the environment is invalid.
        StorageError: when the server refuses or does not answer, or the disk is full.
    """
    publication = layout.publication
    archive = archive_of(publication, category)
    folder = store / "datasets" / f"{archive.identity}-v{layout.version}" / category

    def build(unfinished: Path) -> None:
        root = fetch_official(archive, store, say=say, on_progress=on_progress)
        require_category(root, category, publication)
        _place_all(layout.plan(root, category), unfinished, on_progress)

    if not prepare_folder(folder, build):
        say(f"{publication.title} {category}: downloaded earlier ({publication.licence})")
    return folder


def arrange_folder(
    layout: Layout,
    root: Path,
    category: str,
    store: Path,
    *,
    say: Say,
    on_progress: OnProgress,
) -> Path:
    """The folder in MVTec layout of a category that somebody has in another; arranged once.

    Sizes and times of change are in its name: a file that was mended makes another folder.

    Raises:
        DataError: for a file that is missing, out of place or cannot be read.
        StorageError: when the store cannot be written.
    """
    publication = layout.publication
    placed = layout.plan(root, category)
    identity = digest_of([layout.version, str(root.resolve()), [_state(one) for one in placed]])[
        :12
    ]
    folder = store / "datasets" / f"{publication.name}-{identity}" / category
    say(
        f"{root / category}: in the layout of {publication.title} "
        f"({publication.title} itself is {publication.licence})"
    )
    prepare_folder(folder, lambda unfinished: _place_all(placed, unfinished, on_progress))
    return folder


def _state(placed: Placed) -> list[str | int]:
    with _reading(placed.source):
        status = placed.source.stat()
    return [placed.place, status.st_size, status.st_mtime_ns]


def _place_all(placed: Sequence[Placed], folder: Path, on_progress: OnProgress) -> None:
    _require_distinct(placed)
    _require_room(placed, folder.parent)
    for done, one in enumerate(placed, start=1):
        target = folder / one.place
        target.parent.mkdir(parents=True, exist_ok=True)
        if one.is_converted:
            with _reading(one.source):
                data = one.source.read_bytes()
            target.write_bytes(encode_mask(decode_class_mask(data, str(one.source))))
        else:
            _link_or_copy(one.source, target)
        on_progress("files arranged", done, len(placed))


def _require_distinct(placed: Sequence[Placed]) -> None:
    first: dict[str, Path] = {}
    for one in placed:
        if first.setdefault(one.place, one.source) is not one.source:
            raise DataError(
                f"{one.source}: belongs at {one.place}, as {first[one.place]} does; expected one "
                "file for each: remove or rename one"
            )


def _require_room(placed: Sequence[Placed], folder: Path) -> None:
    """Links take no room; copies do, and are needed on another file system."""
    device = folder.stat().st_dev
    needed = 0
    for one in placed:
        with _reading(one.source):
            status = one.source.stat()
        needed += status.st_size * (status.st_dev != device)
    require_free_space(folder, needed, "a copy of the images")


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source.resolve())
    except OSError:  # another file system, one without links, or somebody else's file
        with _reading(source):
            file = source.open("rb")
        with file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None

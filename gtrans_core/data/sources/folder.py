"""A user's folder: used where it is in MVTec AD's layout, arranged in that of another data set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.data.listing import holds_good_parts, is_flat, list_files
from gtrans_core.data.sources.known import EXPECTED, OnProgress, Say
from gtrans_core.errors import DataError
from gtrans_core.storage import without_secrets

if TYPE_CHECKING:
    from gtrans_core.data.fetching.arrange import Layout

_MVTEC_MARKER = "train/good"


def fetch_folder(
    source: str, category: str, store: Path, *, say: Say, on_progress: OnProgress
) -> Path:
    """``SOURCE/CATEGORY``, or SOURCE itself when it is the category's own folder.

    A folder with images right in it, and no ``train``, is the category's own, whatever its name.

    Raises:
        DataError: for a source or category that is not there (listing those that are), or a file
            that is missing or out of place.
        StorageError: when a category had to be arranged and the store cannot be written.
    """
    with _reading(source):
        root = _existing(source)
        if is_flat(root):
            return root
        itself = root.name == category and not (root / category).is_dir()
        itself = itself and ((root / "train").is_dir() or _is_category(root))
        home = root.parent if itself else root
        layout = _layout_of(home / category)
        is_there = (home / category).is_dir()
        there = [] if is_there else _categories_in(root)
    if layout is not None:
        from gtrans_core.data.fetching.arrange import arrange_folder

        return arrange_folder(layout, home, category, store, say=say, on_progress=on_progress)
    if is_there:
        return home / category  # in MVTec layout, or for its check to say what is missing
    raise DataError(
        f"{source}: has no category '{category}'; categories there (folders with "
        f"{' or '.join(_markers())}): {', '.join(there) or 'none'}"
    )


def categories_of_folder(source: str) -> tuple[str, ...]:
    """The categories in a folder, in any layout we know; its own name when it is one itself.

    Raises:
        DataError: when it is not there, cannot be read or holds no category.
    """
    with _reading(source):
        root = _existing(source)
        there = _categories_in(root)
        if not there and _is_category(root):
            return (root.name,)
    if not there:
        raise DataError(
            f"{source}: holds no category, expected folders with {' or '.join(_markers())}"
        )
    return tuple(there)


def count_good(source: str, category: str) -> int | None:
    """How many good images a category has to train on, by its folder's names alone.

    None where that is not known yet: of other sources, and where ingest will find a fault.
    """
    folders = (Path(source) / category, Path(source)) if Path(source).is_absolute() else ()
    with contextlib.suppress(DataError, OSError):
        for folder in filter(holds_good_parts, folders):
            return sum(file.part == "train" for file in list_files(folder).files)
    return None


def _categories_in(root: Path) -> list[str]:
    """Names of the folders right below that are categories, in any layout we know."""
    return sorted(
        child.name
        for child in root.iterdir()
        if not child.name.startswith(".") and _is_category(child)
    )


def _is_category(folder: Path) -> bool:
    return holds_good_parts(folder) or any(
        one.publication.is_category(folder) for one in _layouts()
    )


def _markers() -> list[str]:
    others = (one for one in _layouts() if not one.has_good_as_mvtec)
    return [_MVTEC_MARKER, *(one.publication.marker for one in others)]


def _layout_of(folder: Path) -> Layout | None:
    """The layout of a category's folder; None for MVTec AD's, and where it is not known."""
    is_as_mvtec = (folder / _MVTEC_MARKER).is_dir()
    fits = (one for one in _layouts() if one.publication.is_category(folder))
    return next((one for one in fits if one.has_good_as_mvtec == is_as_mvtec), None)


def _layouts() -> tuple[Layout, ...]:
    # Imported on use: most runs need no HTTP client.
    from gtrans_core.data.sources import btad, mvtec_ad_2, mvtec_loco, visa

    return visa.LAYOUT, btad.LAYOUT, mvtec_ad_2.LAYOUT, mvtec_loco.LAYOUT


def _existing(source: str) -> Path:
    if "://" in source:
        raise DataError(f"{without_secrets(source)}: no such kind of source; {EXPECTED}")
    root = Path(source).expanduser().absolute()
    if not root.is_dir():
        raise DataError(f"{source}: no such folder; {EXPECTED}")
    return root


@contextlib.contextmanager
def _reading(source: str) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: "~" of an unknown user
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{source}: cannot be read ({reason}); {EXPECTED}") from None

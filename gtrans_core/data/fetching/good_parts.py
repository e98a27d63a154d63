"""Layouts with good parts in ``train`` and in ``validation``: GTrans splits them for itself."""

from __future__ import annotations

from pathlib import Path

from gtrans_core.data.fetching.arrange import Placed
from gtrans_core.data.folders import files_below
from gtrans_core.data.manifest import GOOD


def place_good_parts(top: Path) -> list[Placed]:
    """All good parts to train on; those for validation get its name in front of their own.

    Args:
        top: a category's folder, with ``train/good`` and perhaps ``validation/good``.

    Raises:
        DataError: when a folder cannot be read.
    """
    place = f"train/{GOOD}"
    validation = top / "validation" / GOOD
    more = files_below(validation) if validation.is_dir() else ()
    return [
        *placed_below(top / place, place),
        *(Placed(path, f"{place}/validation_{path.name}") for path in more),
    ]


def placed_below(folder: Path, place: str) -> list[Placed]:
    """Every file of a folder, at the same place below another; none where it is not there.

    Raises:
        DataError: when a folder cannot be read.
    """
    if not folder.is_dir():
        return []
    return [
        Placed(path, f"{place}/{path.relative_to(folder).as_posix()}")
        for path in files_below(folder)
    ]

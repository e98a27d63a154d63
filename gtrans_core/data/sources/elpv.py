"""ELPV: real solar cells in electroluminescence, from the PyPI package ``elpv-dataset``.

2,624 greyscale cells of 300 x 300 pixels, each with a probability of being defective (0, 1/3, 2/3
or 1) and its type; no masks. Deitsch et al., Solar Energy 185 (2019) 455-468,
doi 10.1016/j.solener.2019.02.067. The data are CC BY-NC-SA 4.0: not for commercial use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from gtrans_core.errors import DataError
from gtrans_core.storage import prepare_folder

CATEGORIES = ("mono", "poly")
DEFECT = "defective"
TRAIN_SHARE = 0.8
_PACKAGE = "elpv_dataset"
_VERSION = 1
"""Of the split below: another split is another folder."""


@dataclass(frozen=True)
class _Cell:
    name: str
    is_good: bool
    data: bytes
    sha256: str


def fetch_elpv(
    category: str,
    store: Path,
    *,
    say: Callable[[str], None],
    on_progress: Callable[[str, int, int], None],
) -> Path:
    """The local folder of a cell type in MVTec layout, without ``ground_truth``; written once.

    Good is probability 0, defective is 1, the doubtful ones are left out, and so are copies of the
    same bytes. In the order of their sha256, the first 80 % of the good cells are for training;
    the rest and all defective ones are for the test.

    Raises:
        DataError: when the package is not installed.
        StorageError: when the folder cannot be written.
    """
    folder = store / "datasets" / f"elpv-v{_VERSION}" / category

    def build(unfinished: Path) -> None:
        say(f"ELPV {category} cells from the package elpv-dataset (CC BY-NC-SA 4.0)")
        cells = _unique(_cells(category))
        for done, (cell, place) in enumerate(_placed(cells), start=1):
            path = unfinished / place / cell.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cell.data)
            on_progress("images written", done, len(cells))

    prepare_folder(folder, build)
    return folder


def _placed(cells: Iterable[_Cell]) -> Iterator[tuple[_Cell, str]]:
    """Each cell with the folder it belongs in."""
    in_order = sorted(cells, key=lambda cell: cell.sha256)
    good = [cell for cell in in_order if cell.is_good]
    trained_on = round(TRAIN_SHARE * len(good))
    for rank, cell in enumerate(good):
        yield cell, "train/good" if rank < trained_on else "test/good"
    for cell in in_order:
        if not cell.is_good:
            yield cell, f"test/{DEFECT}"


def _unique(cells: Iterable[_Cell]) -> list[_Cell]:
    """One cell for each content (the package as released has no copies)."""
    return list({cell.sha256: cell for cell in cells}.values())


def _cells(category: str) -> Iterator[_Cell]:
    """The certain cells of a type, as the package lists them: path, probability, type."""
    root = _package_data()
    for line in root.joinpath("labels.csv").read_text(encoding="ascii").splitlines():
        path, probability, cell_type = line.split()
        if cell_type == category and float(probability) in (0.0, 1.0):
            data = root.joinpath(path).read_bytes()
            yield _Cell(
                name=PurePosixPath(path).name,
                is_good=float(probability) == 0.0,
                data=data,
                sha256=hashlib.sha256(data).hexdigest(),
            )


def _package_data() -> Traversable:
    try:
        return resources.files(_PACKAGE) / "data"
    except ModuleNotFoundError:
        raise DataError(
            "elpv: the package elpv-dataset is not installed; run: pip install gtrans[elpv]"
        ) from None

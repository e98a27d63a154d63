"""VisA: twelve products, the official archive and its one-class split.

Zou et al., "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and
Segmentation", ECCV 2022, arXiv 2207.14315. The data are CC BY 4.0. Layout::

    split_csv/1cls.csv                    object,split,label,image,mask of every image
    CATEGORY/Data/Images/Normal/*.JPG
    CATEGORY/Data/Images/Anomaly/*.JPG
    CATEGORY/Data/Masks/Anomaly/*.png     0 good, 1, 2, ... the kinds of defect
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from gtrans_core.data.fetching.arrange import Layout, Placed, fetch_arranged
from gtrans_core.data.fetching.published import Publication
from gtrans_core.data.sources.known import OnProgress, Say
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import checked_name

CATEGORIES = (
    "candle",
    "capsules",
    "cashew",
    "chewinggum",
    "fryum",
    "macaroni1",
    "macaroni2",
    "pcb1",
    "pcb2",
    "pcb3",
    "pcb4",
    "pipe_fryum",
)
SPLIT = "split_csv/1cls.csv"
DEFECT = "bad"
"""The authors' own script calls the defective images so."""

# 1,929,840,640 bytes; the digest is the one public code pins.
ARCHIVE_URL = "https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar"
ARCHIVE_SHA256 = "2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362"

PUBLICATION = Publication(
    name="visa",
    title="VisA",
    licence="CC BY 4.0",
    page="https://github.com/amazon-science/spot-diff",
    marker="Data/Images",
    url=ARCHIVE_URL,
    pins={ARCHIVE_URL: ARCHIVE_SHA256},
)

_COLUMNS = ("object", "split", "label", "image", "mask")


def fetch_visa(category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
    """The local folder of an official category (see ``fetch_arranged``)."""
    return fetch_arranged(LAYOUT, category, store, say=say, on_progress=on_progress)


def plan_visa(root: Path, category: str) -> list[Placed]:
    """Where the files of a category belong, by the official one-class split.

    Raises:
        DataError: when the split is missing, is not what it should be, or names missing files.
    """
    table = root / SPLIT
    rows = _rows(table)
    placed = [one for line, row in rows if row["object"] == category for one in _place(line, row)]
    if not placed:
        there = ", ".join(sorted({row["object"] for _, row in rows})) or "none"
        raise DataError(f"{table}: no image of '{category}'; categories in it: {there}")
    files = [Placed(root / one.source, one.place) for one in placed]
    missing = [one.source for one in files if not one.source.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]}: no such file, but {table} names it ({len(missing)} of {len(files)} "
            f"files of '{category}' are missing); unpack the official archive again"
        )
    return files


LAYOUT = Layout(PUBLICATION, plan_visa)


def _rows(table: Path) -> list[tuple[str, Mapping[str, str]]]:
    """Every row, after the file and line it is in."""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = [(f"{table}: line {reader.line_num}", row) for row in reader]
    except FileNotFoundError:
        raise DataError(
            f"{table}: no such file, expected VisA's official one-class split; take it from the "
            f"archive or from {PUBLICATION.page}"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table ({error})") from None
    if any(column not in (reader.fieldnames or ()) for column in _COLUMNS):
        raise DataError(f"{table}: expected the columns {', '.join(_COLUMNS)}")
    return [(line, {name: row[name] or "" for name in _COLUMNS}) for line, row in rows]


def _place(line: str, row: Mapping[str, str]) -> list[Placed]:
    """The image of a row, and its mask when it is defective; sources are relative."""
    image = _name_in(line, row["image"])
    match row["split"], row["label"]:
        case ("train" | "test") as split, "normal":
            return [Placed(image, f"{split}/good/{image.name}")]
        case "test", "anomaly":
            mask = _name_in(line, row["mask"])
            return [
                Placed(image, f"test/{DEFECT}/{image.name}"),
                Placed(mask, f"ground_truth/{DEFECT}/{image.stem}_mask.png"),
            ]
        case split, label:
            raise DataError(
                f"{line}: split '{split}' with label '{label}'; expected train normal, "
                "test normal or test anomaly"
            )


def _name_in(line: str, name: str) -> Path:
    try:
        return Path(checked_name(name))
    except StorageError as error:
        raise DataError(f"{line}: {error}") from None

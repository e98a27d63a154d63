"""BTAD: three industrial products of beanTech, from the official archive.

Mishra et al., "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and Localization",
ISIE 2021, arXiv 2104.10036. The authors' page says CC BY-SA 4.0. Layout::

    CATEGORY/train/ok/*              bmp or png
    CATEGORY/test/ok/*
    CATEGORY/test/ko/*
    CATEGORY/ground_truth/ko/NAME.*  png or bmp, whatever the image is

A plant's own folder that says ``ok`` but has no ``ko`` is not of this layout, and needs none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gtrans_core.data.fetching.archive import ArchiveLimits
from gtrans_core.data.fetching.arrange import Layout, Placed, fetch_arranged
from gtrans_core.data.fetching.published import Publication
from gtrans_core.data.folders import files_below, visible
from gtrans_core.data.manifest import GOOD
from gtrans_core.data.sources.known import OnProgress, Say
from gtrans_core.errors import DataError

CATEGORIES = ("01", "02", "03")
OK = "ok"

# 1,229,193,337 bytes; the digest is the one public code pins.
ARCHIVE_URL = "https://avires.dimi.uniud.it/papers/btad/btad.zip"
ARCHIVE_SHA256 = "461c9387e515bfed41ecaae07c50cf6b10def647b36c9e31d239ab2736b10d2a"

PUBLICATION = Publication(
    name="btad",
    title="BTAD",
    licence="CC BY-SA 4.0",
    page="https://github.com/pankajmishra000/VT-ADL",
    marker="test/ko",
    url=ARCHIVE_URL,
    pins={ARCHIVE_URL: ARCHIVE_SHA256},
    # A black mask saved as BMP shrinks as much as deflate can make it, 1,032-fold.
    limits=ArchiveLimits(total_bytes=20 * 10**9, ratio=1100.0),
)


def fetch_btad(category: str, store: Path, *, say: Say, on_progress: OnProgress) -> Path:
    """The local folder of an official category (see ``fetch_arranged``)."""
    return fetch_arranged(LAYOUT, category, store, say=say, on_progress=on_progress)


def plan_btad(root: Path, category: str) -> list[Placed]:
    """Where the files of a category belong: ``ok`` is good, ``ko`` the kind of defect.

    Raises:
        DataError: when a mask is missing, is there twice, or has no image.
    """
    top = root / category
    placed: list[Placed] = []
    for folder in (*_folders(top / "train"), *_folders(top / "test")):
        kind = GOOD if folder.name == OK else folder.name
        images = list(files_below(folder))
        home = f"{folder.parent.name}/{kind}"
        placed += [Placed(path, f"{home}/{path.relative_to(folder).as_posix()}") for path in images]
        masks = top / "ground_truth" / folder.name
        if kind != GOOD and masks.is_dir():
            placed += _place_masks(images, masks)
    return placed


LAYOUT = Layout(PUBLICATION, plan_btad)


def _place_masks(images: Iterable[Path], folder: Path) -> list[Placed]:
    masks: dict[str, Path] = {}
    for mask in _files(folder):
        if masks.setdefault(mask.stem, mask) is not mask:
            raise DataError(f"{mask}: a second mask, beside {masks[mask.stem].name}; remove one")
    placed = []
    for image in images:
        if image.stem not in masks:
            raise DataError(f"{image}: no mask, expected {folder / image.stem}.png or .bmp")
        place = f"ground_truth/{folder.name}/{image.stem}_mask.png"
        placed.append(Placed(masks.pop(image.stem), place))
    for mask in masks.values():
        raise DataError(f"{mask}: no image for this mask in test/{folder.name}; remove it")
    return placed


def _folders(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_dir()] if folder.is_dir() else []


def _files(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if path.is_file()] if folder.is_dir() else []

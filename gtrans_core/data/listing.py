"""Which files of a category's folder are images and masks, of which part and kind.

A kind is the folder right below ``train``, ``test`` or ``ground_truth``; what lies deeper belongs
to it. Folders whose name is a word for good parts (``OK``, ``Pass``, ``good_2``) hold good parts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from gtrans_core.data.folders import files_below, visible
from gtrans_core.data.kinds import bare_word, is_good_name, kind_problem
from gtrans_core.data.manifest import GOOD
from gtrans_core.data.pictures import by_suffix, is_picture
from gtrans_core.system.text import printable

Part = Literal["train", "test", "ground_truth"]

PARTS: tuple[Part, ...] = ("train", "test", "ground_truth")

_HOMES = {
    "train": "train/good",
    "test": "test/good or test/DEFECT",
    "ground_truth": "ground_truth/DEFECT",
}
_LIKE_GOOD = re.compile(r"(good|ok|okay|pass|passed|normal)(?![a-z])", re.IGNORECASE)
_NOT_GOOD = re.compile(
    r"(bad|ng|nok|notok|ko|nio|anomal(y|ies|ous)|abnormal|defect(s|ive)?|fail(ed|ures?)?|rejects?"
    r"|rejected|scrap|broken|masks?|groundtruth|test)\d*"
)


@dataclass(frozen=True)
class DataFile:
    """A file found where an image or a mask belongs."""

    path: Path
    name: str
    """Relative to the category's folder, with forward slashes."""
    part: Part
    defect: str
    """``good``, or the kind of defect."""
    place: str
    """Below the folder of its kind, such as ``2026-11-02/000.png``."""

    @property
    def is_defective_image(self) -> bool:
        """Whether it shows a defective part."""
        return self.part == "test" and self.defect != GOOD


@dataclass(frozen=True)
class Listing:
    """What a category's folder holds, and what to say of it."""

    files: Sequence[DataFile]
    problems: Sequence[str]
    notes: Sequence[str]


def good_folders(split: Path) -> list[Path]:
    """The folders of good parts in ``train`` or ``test``; none where that is no folder."""
    there = visible(split) if split.is_dir() else []
    return [child for child in there if child.is_dir() and is_good_name(child.name)]


def is_flat(folder: Path) -> bool:
    """Whether a folder holds good parts right in it: no ``train``, at most what to measure on."""
    there = visible(folder) if folder.is_dir() else []
    below = {child.name for child in there if child.is_dir()}
    return below <= set(PARTS[1:]) and any(is_picture(child) for child in there)


def holds_good_parts(folder: Path) -> bool:
    """Whether a folder is a category's: good parts to train on in their place, or flat."""
    return bool(good_folders(folder / "train")) or is_flat(folder)


def list_files(root: Path) -> Listing:
    """Every image and mask in its place, and a problem for everything out of place.

    Raises:
        DataError: when a folder cannot be read.
    """
    found = _Found()
    if is_flat(root):
        _list_kind(found, "train", root, GOOD, home="")
    for child in visible(root):
        if child.is_dir() and child.name not in PARTS:
            found.problems.append(
                f"{printable(child.name)}: unknown folder, expected only {', '.join(PARTS)}"
            )
    for part in PARTS:
        for child in visible(root / part) if (root / part).is_dir() else []:
            _list_one(found, part, child)
    return Listing(found.files, found.problems, found.all_notes())


class _Found:
    """What was found so far."""

    def __init__(self) -> None:
        self.files: list[DataFile] = []
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.left_out: list[str] = []
        self.deeper: Counter[tuple[str, str]] = Counter()

    def all_notes(self) -> list[str]:
        notes = list(self.notes)
        images = {  # a folder named as an image holds its masks, as in MVTec LOCO
            (f"ground_truth/{file.defect}", str(PurePosixPath(file.place).with_suffix("")))
            for file in self.files
            if file.part == "test"
        }
        deeper = {place: count for place, count in self.deeper.items() if place not in images}
        if deeper:
            where = _first_few([f"{kind}/{sub} ({n})" for (kind, sub), n in deeper.items()])
            notes.append(f"{sum(deeper.values())} images or masks are in subfolders: {where}")
        if self.left_out:
            notes.append(f"left out, since they are no images: {by_suffix(self.left_out)}")
        return notes


def _list_one(found: _Found, part: Part, folder: Path) -> None:
    """A folder of a kind, or a file beside such folders."""
    name = printable(f"{part}/{folder.name}")
    if not folder.is_dir():
        if folder.is_symlink() and not folder.exists():
            found.problems.append(f"{name}: a link to nothing; remove it, or mend the link")
        elif is_picture(folder):
            found.problems.append(f"{name}: not a folder of images; move it into {_HOMES[part]}")
        else:
            found.left_out.append(folder.name)
        return
    is_good = is_good_name(folder.name)
    if part == "train" and not is_good:
        found.problems.append(f"{name}: only train/good may be here")
    elif not is_good and (problem := kind_problem(folder.name)):
        found.problems.append(f"{name}: rename it: {problem}")
    else:
        kind = GOOD if is_good else folder.name
        _list_kind(found, part, folder, kind, f"{part}/{folder.name}")


def _list_kind(found: _Found, part: Part, folder: Path, kind: str, home: str) -> None:
    before = len(found.files) + len(found.problems)
    for path in files_below(folder) if home else _right_in(folder):
        place = path.relative_to(folder).as_posix()
        name = f"{home}/{place}" if home else place
        if not is_picture(path):
            found.left_out.append(path.name)
        elif problem := _problem_of(path, name, part, kind, place):
            found.problems.append(problem)
        else:
            found.files.append(DataFile(path, name, part, kind, place))
            if "/" in place:
                found.deeper[home, place.rpartition("/")[0]] += 1
    if part == "ground_truth":
        return
    if not home:
        alone = "" if (folder / "test").is_dir() else "; nothing to test on"
        found.notes.append(f"images without folders: taken for good parts{alone}")
    elif before == len(found.files) + len(found.problems):
        found.notes.append(f"{home}: holds no image")
    elif kind == GOOD and folder.name != GOOD:
        found.notes.append(f"{home}: taken for good parts, by its name")
    elif kind != GOOD and _LIKE_GOOD.match(kind):
        found.notes.append(
            f"{home}: taken for a kind of defect; if these are good parts, move them to test/{GOOD}"
        )


def _right_in(folder: Path) -> list[Path]:
    return [path for path in visible(folder) if not path.is_dir()]


def _problem_of(path: Path, name: str, part: Part, kind: str, place: str) -> str:
    """What is wrong with a file before it is read."""
    shown = printable(name)
    if shown != name:
        return f"{shown}: characters in the name that cannot be shown, rename it"
    if not path.exists():
        return f"{name}: a link to nothing; remove it, or mend the link"
    if not path.is_file():
        return f"{name}: not a file that can be read"
    if part != "ground_truth" and kind == GOOD:
        odd = [folder for folder in PurePosixPath(place).parts[:-1] if _is_bad_name(folder)]
        if odd:
            return f"{name}: among good parts, in a folder called '{odd[0]}'; move or rename that"
    return ""


def _is_bad_name(name: str) -> bool:
    return _NOT_GOOD.fullmatch(bare_word(name)) is not None


def _first_few(items: Sequence[str]) -> str:
    more = f" and {len(items) - 5} more" if len(items) > 5 else ""
    return ", ".join(items[:5]) + more

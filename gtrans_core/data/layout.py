"""A folder in the MVTec layout -> validated manifests of its two splits.

Every file is read once, digested and fully decoded here, so that all that is wrong is known, and
listed together, before anything expensive starts::

    CATEGORY/train/good/*            good parts, at least MIN_TRAIN_IMAGES
    CATEGORY/test/good/*             good parts never trained on
    CATEGORY/test/DEFECT/*           defective parts, one folder for each kind of defect
    CATEGORY/ground_truth/DEFECT/*   optional: a mask for every defective image, of its size,
                                     named NAME_mask.png (or NAME.png) for the image NAME.*

Hidden files, ``Thumbs.db`` and loose files beside these folders are ignored.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gtrans_core.data.images import decode_image, decode_mask
from gtrans_core.data.manifest import GOOD, Manifest, Sample
from gtrans_core.errors import DataError

MIN_TRAIN_IMAGES = 10
"""At the default held-out share of 20 % that leaves 8 to learn from and 2 for a threshold; a
folder with fewer is surely not what its owner meant."""
MAX_FILE_BYTES = 512 * 2**20
"""Above what 50 megapixels take uncompressed at 16 bits a channel: larger files are not read."""

OnProgress = Callable[[int, int], None]
Part = Literal["train", "test", "ground_truth"]

_PARTS: tuple[Part, ...] = ("train", "test", "ground_truth")
_DARK = 16
"""A category in which every pixel is below this (of 255) is refused."""
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
_DEFECT_NAME = re.compile(r"[\w .-]+")
_THREADS = 4  # Pillow and hashlib release the GIL
_LAYOUT = (
    "expected CATEGORY/train/good, CATEGORY/test/good, CATEGORY/test/DEFECT and, for pixel "
    "metrics, CATEGORY/ground_truth/DEFECT/NAME_mask.png"
)


def scan_category(
    root: Path, category: str, source: str, on_progress: OnProgress | None = None
) -> tuple[Manifest, Manifest]:
    """Check every file of a category and describe both splits.

    Args:
        root: the category's folder (the one that holds ``train`` and ``test``).
        category: its name in the manifests.
        source: where it came from, for the manifests.
        on_progress: called with (files checked, files in all) after each file.

    Returns:
        The train and the test manifest. Masks are None when there is no ground truth at all.

    Raises:
        DataError: one line when the folder is missing or one thing is wrong; else a summary line
            and one line for each problem, all of them.
    """
    _require_layout(root, category)
    files, problems = _list_files(root)
    problems += _count_problems(files)
    checked = _check_all(files, on_progress)
    problems += [one.problem for one in checked if one.problem]
    images = [one for one in checked if one.file.part != "ground_truth" and not one.problem]
    problems += _darkness_problems(images)
    problems += _duplicate_problems(images)
    masks, mask_problems = _pair_masks(checked)
    problems += mask_problems
    if problems:
        raise DataError(_summary(root, problems))
    train, test = (
        Manifest(
            category=category,
            source=source,
            split=split,
            root=str(root.resolve()),
            samples=tuple(
                _sample(image, masks.get(image.file))
                for image in images
                if image.file.part == split
            ),
        )
        for split in ("train", "test")
    )
    return train, test


@dataclass(frozen=True)
class _File:
    """A file found where an image or a mask belongs."""

    path: Path
    name: str
    """Relative to the category's folder, with forward slashes."""
    part: Part
    defect: str


@dataclass(frozen=True)
class _Checked:
    """What reading and decoding a file told."""

    file: _File
    sha256: str = ""
    width: int = 0
    height: int = 0
    brightest: int = 0
    """Largest value of a pixel, 0..255."""
    is_empty_mask: bool = False
    problem: str = ""


def _require_layout(root: Path, category: str) -> None:
    """Refuse a folder there is nothing to scan in, with a hint of where to look instead."""
    if not root.is_dir():
        there = _categories_in(root.parent)
        hint = f"categories there: {', '.join(there)}" if there else _LAYOUT
        raise DataError(f"no category '{category}': {root} is not a folder; {hint}")
    missing = [part for part in ("train/good", "test") if not (root / part).is_dir()]
    if missing:
        there = _categories_in(root)
        hint = f"it holds the categories {', '.join(there)}" if there else _LAYOUT
        raise DataError(f"{root} has no {' and no '.join(missing)} folder; {hint}")


def _categories_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [child.name for child in visible(folder) if (child / "train" / GOOD).is_dir()]


def visible(folder: Path) -> list[Path]:
    """What is in a folder, by name, without hidden files and what file managers leave.

    Raises:
        DataError: when it cannot be read.
    """
    try:
        children = sorted(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from None
    return [child for child in children if not is_hidden(child.name)]


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or left by a file manager."""
    return name.startswith(".") or name.lower() in _IGNORED


def _list_files(root: Path) -> tuple[list[_File], list[str]]:
    """Every image and mask in its place, and a problem for everything out of place."""
    files: list[_File] = []
    problems = [
        f"{folder.name}: unknown folder, expected only {', '.join(_PARTS)}"
        for folder in visible(root)
        if folder.is_dir() and folder.name not in _PARTS
    ]
    for part in _PARTS:
        for folder in visible(root / part) if (root / part).is_dir() else []:
            if not folder.is_dir():
                problems.append(f"{part}/{folder.name}: not a folder of images")
            elif part == "train" and folder.name != GOOD:
                problems.append(f"train/{folder.name}: only train/good may be here")
            elif not _DEFECT_NAME.fullmatch(folder.name):
                problems.append(
                    f"{part}/{folder.name}: rename it: a kind of defect becomes the name of a "
                    "metric, so only letters, digits, '_', '-', '.' and spaces"
                )
            else:
                for path in visible(folder):
                    file = _File(path, f"{part}/{folder.name}/{path.name}", part, folder.name)
                    if problem := _name_problem(file):
                        problems.append(problem)
                    else:
                        files.append(file)
    return files, problems


def _name_problem(file: _File) -> str:
    if not file.name.isprintable():
        return f"{file.name!a}: unprintable characters in the name, rename it"
    return "" if file.path.is_file() else f"{file.name}: not a file"


def _count_problems(files: Iterable[_File]) -> list[str]:
    files = list(files)
    train = sum(file.part == "train" for file in files)
    test_good = sum(file.part == "test" and file.defect == GOOD for file in files)
    test_defective = sum(file.part == "test" and file.defect != GOOD for file in files)
    problems = []
    if train < MIN_TRAIN_IMAGES:
        problems.append(f"train/good: {train} images, at least {MIN_TRAIN_IMAGES} are needed")
    if not test_good:
        problems.append("test/good: no image, an evaluation needs good and defective ones")
    if not test_defective:
        problems.append("test: no defective image, an evaluation needs good and defective ones")
    return problems


def _check_all(files: Sequence[_File], on_progress: OnProgress | None) -> list[_Checked]:
    checked = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, one in enumerate(pool.map(_check, files), start=1):
            checked.append(one)
            if on_progress is not None:
                on_progress(done, len(files))
    return checked


def _check(file: _File) -> _Checked:
    try:
        size = file.path.stat().st_size
        if size > MAX_FILE_BYTES:
            return _Checked(file, problem=f"{file.name}: too large, {size:,} bytes")
        data = file.path.read_bytes()
        is_mask = file.part == "ground_truth"
        pixels = decode_mask(data, file.name) if is_mask else decode_image(data, file.name)
    except OSError as error:
        return _Checked(file, problem=f"{file.name}: cannot be read ({error.strerror})")
    except DataError as error:
        return _Checked(file, problem=str(error))
    height, width = pixels.shape[:2]
    digest = hashlib.sha256(data).hexdigest()
    brightest = int(pixels.max())
    return _Checked(file, digest, width, height, brightest, is_mask and not brightest)


def _darkness_problems(images: Sequence[_Checked]) -> list[str]:
    """Pictures of 10 or 12 bits in files of 16 would be learnt from a handful of grey levels."""
    brightest = max((image.brightest for image in images), default=255)
    if brightest >= _DARK:
        return []
    return [
        f"the brightest pixel of all {len(images)} images is {brightest} of 255; of 16 bits a "
        "channel the upper 8 are read, so multiply 12-bit values by 16 and 10-bit ones by 64"
    ]


def _duplicate_problems(images: Iterable[_Checked]) -> list[str]:
    """Equal bytes in both splits, or under two labels; repeats within one folder are harmless."""
    first: dict[str, _File] = {}
    problems = []
    for image in images:
        twin = first.setdefault(image.sha256, image.file)
        if twin.part != image.file.part:
            problems.append(f"{image.file.name}: the same image as {twin.name}, in training")
        elif twin.defect != image.file.defect:
            problems.append(f"{image.file.name}: the same image as {twin.name}, labelled otherwise")
    return problems


def _pair_masks(checked: Sequence[_Checked]) -> tuple[dict[_File, _Checked], list[str]]:
    """The mask of each defective test image, and what is wrong with the pairs."""
    masks = [one for one in checked if one.file.part == "ground_truth"]
    problems = [
        f"{mask.file.name}: a mask for a good image" for mask in masks if mask.file.defect == GOOD
    ]
    unpaired: dict[tuple[str, str], _Checked] = {}
    for mask in masks:
        if mask.file.defect != GOOD:
            key = (mask.file.defect, mask.file.path.stem)
            if unpaired.setdefault(key, mask) is not mask:
                problems.append(
                    f"{mask.file.name}: a second mask, beside {unpaired[key].file.name}"
                )
    pairs: dict[_File, _Checked] = {}
    for image in checked if unpaired else []:
        if image.file.part == "test" and image.file.defect != GOOD:
            found = _take_mask(unpaired, image.file)
            if found is None:
                problems.append(f"{image.file.name}: no mask, expected {_mask_name(image.file)}")
            else:
                pairs[image.file] = found
                problems += _pair_problems(image, found)
    problems += [f"{mask.file.name}: no image for this mask" for mask in unpaired.values()]
    return pairs, problems


def _take_mask(unpaired: dict[tuple[str, str], _Checked], image: _File) -> _Checked | None:
    for stem in (f"{image.path.stem}_mask", image.path.stem):
        if (image.defect, stem) in unpaired:
            return unpaired.pop((image.defect, stem))
    return None


def _mask_name(image: _File) -> str:
    return f"ground_truth/{image.defect}/{image.path.stem}_mask.png"


def _pair_problems(image: _Checked, mask: _Checked) -> list[str]:
    if image.problem or mask.problem:
        return []
    if (image.width, image.height) != (mask.width, mask.height):
        return [
            f"{mask.file.name}: {mask.width} x {mask.height} pixels, "
            f"but {image.file.name} has {image.width} x {image.height}"
        ]
    if mask.is_empty_mask:
        return [f"{mask.file.name}: no defective pixel, but {image.file.name} is a defective part"]
    return []


def _sample(image: _Checked, mask: _Checked | None) -> Sample:
    return Sample(
        path=image.file.name,
        sha256=image.sha256,
        defect=image.file.defect,
        width=image.width,
        height=image.height,
        mask=mask.file.name if mask else None,
        mask_sha256=mask.sha256 if mask else None,
    )


def _summary(root: Path, problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return f"{root}: {problems[0]}"
    return "\n  ".join([f"{len(problems)} problems in {root}:", *problems])

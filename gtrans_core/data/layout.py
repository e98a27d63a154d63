"""A folder in the MVTec layout -> validated manifests of its two splits.

Every file is read once, digested and fully decoded here, so that all that is wrong is known, and
listed together, before anything expensive starts::

    CATEGORY/train/good/*            good parts, at least MIN_TRAIN_IMAGES
    CATEGORY/test/good/*             optional: good parts never trained on
    CATEGORY/test/DEFECT/*           optional: defective parts, one folder a kind of defect
    CATEGORY/ground_truth/DEFECT/*   optional: a mask for every defective image, of its size,
                                     named NAME_mask.png (or NAME.png) for the image NAME.*
    CATEGORY/defects_config.json     optional: how much of each defect counts as all of it

Images right in a folder that has no ``train`` stand for ``train/good``. Only an image that people
marked (``feedback-...``) may lack its mask where others have theirs.

``listing`` says which files belong where, ``checking`` reads them, ``pairing`` brings masks to
their images, ``findings`` looks at all images together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gtrans_core.config import LEAST_SCENE_IMAGES, ImageConfig
from gtrans_core.config.region import FOREGROUND, mask_shape
from gtrans_core.data import findings
from gtrans_core.data.checking import Checked, OnProgress, check_all
from gtrans_core.data.depth import Depth
from gtrans_core.data.folders import visible
from gtrans_core.data.images import decode_view
from gtrans_core.data.listing import DataFile, holds_good_parts, is_flat, list_files
from gtrans_core.data.manifest import Manifest, MaskFile, Sample
from gtrans_core.data.pairing import pair_masks
from gtrans_core.data.reading import read_image
from gtrans_core.data.saturation import (
    DEFECTS_CONFIG,
    DefectSaturation,
    read_saturations,
    saturation_problems,
)
from gtrans_core.errors import DataError
from gtrans_core.system.text import printable

MIN_TRAIN_IMAGES = LEAST_SCENE_IMAGES + 1
"""So that each can be scored by what the others were learnt from."""

_LAYOUT = (
    "expected CATEGORY/train/good (or good images right in CATEGORY), to measure on "
    "CATEGORY/test/good and CATEGORY/test/DEFECT, and for pixel metrics "
    "CATEGORY/ground_truth/DEFECT/NAME_mask.png"
)


def scan_category(
    root: Path,
    category: str,
    source: str,
    on_progress: OnProgress | None = None,
    image: ImageConfig = ImageConfig(),  # noqa: B008 - frozen
    note: Callable[[str], None] = lambda _line: None,
) -> tuple[Manifest, Manifest]:
    """Check every file of a category and describe both splits.

    Args:
        root: the category's folder (the one that holds ``train`` and ``test``).
        category: its name in the manifests.
        source: where it came from, for the manifests.
        on_progress: called with (files checked, files in all) after each file.
        image: gives the most pixels of an image, and the grey levels to read, if that is settled.
        note: gets each line worth knowing of a category that is sound.

    Returns:
        The train and the test manifest. Masks are None when there is no ground truth at all.

    Raises:
        DataError: one line when the folder is missing or one thing is wrong; else a summary line
            and one line for each problem, all of them.
    """
    _require_layout(root, category)
    listing = list_files(root)
    problems = [*listing.problems, *_count_problems(root, listing.files)]
    depth = Depth()
    checked = [depth.take(one) for one in check_all(listing.files, image, on_progress)]
    problems += [one.problem for one in checked if one.problem]
    images = [one for one in checked if one.file.part != "ground_truth" and not one.problem]
    problems += findings.flatness_problems(images)
    levels, depth_problems, depth_notes = depth.settle(images, image)
    problems += depth_problems
    problems += findings.duplicate_problems(images)
    masks, mask_problems, mask_notes = pair_masks(checked)
    problems += mask_problems
    saturations = read_saturations(root)
    problems += saturation_problems(saturations, (m for own in masks.values() for m in own))
    if problems:
        raise DataError(_summary(root, problems))
    images, repeats = findings.without_repeats(images)
    for line in (
        *([f"{DEFECTS_CONFIG}: AU-sPRO is measured too"] if saturations and masks else []),
        *listing.notes,
        *findings.size_notes(images),
        *findings.mask_notes(mask_shape(image.region), images),
        *findings.turning_notes(images, (image for image in images if image.file in masks)),
        *depth_notes,
        *repeats,
        *mask_notes,
    ):
        note(line)
    train, test = (
        Manifest(
            category=category,
            source=source,
            split=split,
            root=str(root.resolve()),
            levels=levels,
            samples=tuple(
                _sample(image, masks.get(image.file, ()), saturations or {})
                for image in images
                if image.file.part == split
            ),
        )
        for split in ("train", "test")
    )
    return _with_foreground(train, image, note), test


def _with_foreground(train: Manifest, image: ImageConfig, note: Callable[[str], None]) -> Manifest:
    """The training split, with where its parts lie if the config asks for it."""
    if image.region != FOREGROUND:
        return train
    from gtrans_core.data.foreground import foreground, seen_small  # scipy takes its time

    small = seen_small(image.model_copy(update={"levels": image.levels or train.levels}))
    region, share = foreground(
        (sample.path, decode_view(read_image(train, sample), sample.path, small))
        for sample in train.samples
    )
    note(
        f"{100 * share:.0f} % of the picture is judged: where good images differ from the colour "
        f"of their edge (image.region = {FOREGROUND})"
    )
    return train.model_copy(update={"region": region})


def _require_layout(root: Path, category: str) -> None:
    """Refuse a folder there is nothing to scan in, with a hint of where to look instead."""
    if not root.is_dir():
        there = _categories_in(root.parent)
        hint = f"categories there: {', '.join(there)}" if there else _LAYOUT
        raise DataError(f"no category '{category}': {root} is not a folder; {hint}")
    if not holds_good_parts(root):
        there = _categories_in(root)
        hint = f"it holds the categories {', '.join(there)}" if there else _LAYOUT
        raise DataError(f"{root} has no train/good folder; {hint}")


def _categories_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return [printable(child.name) for child in visible(folder) if holds_good_parts(child)]


def _count_problems(root: Path, files: Iterable[DataFile]) -> list[str]:
    train = sum(file.part == "train" for file in files)
    if train < MIN_TRAIN_IMAGES:
        where = "" if is_flat(root) else "train/good: "
        return [f"{where}{train} images, at least {MIN_TRAIN_IMAGES} are needed"]
    return []


def _sample(
    image: Checked, masks: Sequence[Checked], saturations: Mapping[int, DefectSaturation]
) -> Sample:
    files = [
        MaskFile(
            path=mask.file.name,
            sha256=mask.sha256,
            saturation=None if (of := saturations.get(mask.value)) is None else of.share(mask.area),
        )
        for mask in masks
    ]
    return Sample(
        path=image.file.name,
        sha256=image.sha256,
        defect=image.file.defect,
        width=image.width,
        height=image.height,
        mask=files[0].path if files else None,
        mask_sha256=files[0].sha256 if files else None,
        mask_saturation=files[0].saturation if files else None,
        more_masks=tuple(files[1:]),
    )


def _summary(root: Path, problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return f"{printable(str(root))}: {problems[0]}"
    return "\n  ".join([f"{len(problems)} problems in {printable(str(root))}:", *problems])

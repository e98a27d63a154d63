"""Which masks belong to which image, whatever the style of their names.

For ``test/DEFECT/000.png``, below ``ground_truth/DEFECT``: ``000_mask.png`` or ``000.png``; several
are united: ``000_mask_1.png``, ``000_1.png``, or all files of a folder ``000``.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from statistics import median

from gtrans_core.data.checking import Checked
from gtrans_core.data.kinds import FEEDBACK_PREFIX
from gtrans_core.data.listing import DataFile
from gtrans_core.data.manifest import GOOD

_WORD = r"(?:mask|masks|gt|groundtruth|ground_truth|label|seg)"
_MASKS = re.compile(_WORD + "s?", re.IGNORECASE)
_STYLES = tuple(
    re.compile(style, re.IGNORECASE)
    for style in (
        rf"(.+?)[ _.-]{_WORD}",
        r"(.+)",
        rf"(.+?)[ _.-]{_WORD}[ _.-]?\(?\d+\)?",
        rf"{_WORD}[ _.-](.+)",
        r"(.+?)[ _.-]\(?\d+\)?",
    )
)
"""From the name of a mask, without its suffix, to that of its image; the first that fits counts."""
_SHOWN = 5
_WITHOUT = "to go on without masks, move ground_truth elsewhere"

Pairs = Mapping[DataFile, Sequence[Checked]]


def pair_masks(checked: Sequence[Checked]) -> tuple[Pairs, list[str], list[str]]:
    """The masks of each defective image, what is wrong with the pairs, and notes on them."""
    masks = [one for one in checked if one.file.part == "ground_truth"]
    problems = [
        f"{mask.file.name}: marks a defect on a good image; expected all black, or no mask"
        for mask in masks
        if mask.file.defect == GOOD and mask.coverage
    ]
    masks = [mask for mask in masks if mask.file.defect != GOOD]
    if not masks:
        return {}, problems, []
    images = [one for one in checked if one.file.is_defective_image]
    pairs, unmatched = _match(images, masks)
    shared = _shared_names(images, pairs)
    problems += _sharing_problems(shared, pairs)
    bare = {image.file for image in images} - pairs.keys() - shared.keys()
    marked = sorted(file.name for file in bare if _is_marked(file))
    for image in images:
        if image.file in pairs:
            problems += _size_problems(image, pairs[image.file])
        elif image.file in bare and not _is_marked(image.file):
            name = f"{PurePosixPath(image.file.place).with_suffix('')}_mask.png"
            expected = f"ground_truth/{image.file.defect}/{name}"
            problems.append(f"{image.file.name}: no mask, expected {expected}; {_WITHOUT}")
    problems += [f"{mask.file.name}: no image for this mask" for mask in unmatched]
    sound = [mask for mask in masks if not mask.problem]
    problems += _inversion_problems(sound)
    return pairs, problems, [*_notes(pairs, sound), *_bare_notes(marked)]


def _is_marked(file: DataFile) -> bool:
    return PurePosixPath(file.place).name.startswith(FEEDBACK_PREFIX)


def _bare_notes(marked: Sequence[str]) -> list[str]:
    if not marked:
        return []
    images = "1 image" if len(marked) == 1 else f"{len(marked)} images"
    return [
        f"no mask for {images} from feedback, such as {marked[0]}: counted by image, "
        "left out of what is measured by pixel"
    ]


def _match(
    images: Sequence[Checked], masks: Sequence[Checked]
) -> tuple[dict[DataFile, list[Checked]], list[Checked]]:
    """Masks by image, and those without one."""
    exact: dict[tuple[str, str], DataFile] = {}
    alike: dict[tuple[str, str], DataFile] = {}
    for image in images:
        for name in (image.file.place, _stem(image.file.place)):
            exact.setdefault((image.file.defect, name), image.file)
            alike.setdefault((_fold(image.file.defect), _fold(name)), image.file)
    pairs: dict[DataFile, list[Checked]] = defaultdict(list)
    unmatched = []
    for mask in masks:
        names = list(_image_names(mask.file.place))
        kind = mask.file.defect
        owner = next((exact[kind, name] for name in names if (kind, name) in exact), None)
        if owner is None:
            kind = _fold(kind)
            names = [_fold(name) for name in names]
            owner = next((alike[kind, name] for name in names if (kind, name) in alike), None)
        if owner is None:
            unmatched.append(mask)
        else:
            pairs[owner].append(mask)
    return pairs, unmatched


def _image_names(place: str) -> Iterator[str]:
    """What the image of a mask may be called: most likely first, in its folder or as it."""
    path = PurePosixPath(_stem(place))
    folders = [folder for folder in path.parts[:-1] if not _MASKS.fullmatch(folder)]
    path = PurePosixPath(*folders, path.name)
    for style in _STYLES:
        if fits := style.fullmatch(path.name):
            yield (path.parent / fits[1]).as_posix()
    parent = path.parent
    if parent.name:
        for style in _STYLES[:2]:
            if fits := style.fullmatch(parent.name):
                yield (parent.parent / fits[1]).as_posix()


def _stem(place: str) -> str:
    return PurePosixPath(place).with_suffix("").as_posix()


def _fold(name: str) -> str:
    """Names that a Mac or Windows takes for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _shared_names(images: Iterable[Checked], pairs: Pairs) -> Mapping[DataFile, DataFile]:
    """Of images with the same name but for the suffix: from one without a mask to one with."""
    owner: dict[tuple[str, str], DataFile] = {}
    for file in pairs:
        owner.setdefault((file.defect, _stem(file.place)), file)
    without = [image.file for image in images if image.file not in pairs]
    keys = {file: (file.defect, _stem(file.place)) for file in without}
    return {file: owner[key] for file, key in keys.items() if key in owner}


def _sharing_problems(shared: Mapping[DataFile, DataFile], pairs: Pairs) -> list[str]:
    return [
        f"{file.name} and {twin.name}: both would take the mask {pairs[twin][0].file.name}; "
        "rename one of them, and give each its own mask"
        for file, twin in shared.items()
    ]


def _size_problems(image: Checked, masks: Sequence[Checked]) -> list[str]:
    if image.problem or any(mask.problem for mask in masks):
        return []
    problems = []
    for mask in masks:
        if mask.size == image.size:
            continue
        problem = (
            f"{mask.file.name}: {mask.width} x {mask.height} pixels, "
            f"but {image.file.name} has {image.width} x {image.height}"
        )
        if image.orientation != 1 or mask.orientation != 1:
            turned = image if image.orientation != 1 else mask
            problem += (
                f", as {turned.file.name} is turned by its EXIF orientation "
                f"({turned.orientation}); save image and mask turned alike and without it"
            )
        problems.append(problem)
    if not problems and not any(mask.coverage for mask in masks):
        which = masks[0].file.name
        return [f"{which}: no defective pixel, but {image.file.name} is a defective part"]
    return problems


def _inversion_problems(masks: Sequence[Checked]) -> list[str]:
    """Black on white, in most masks or in some."""
    if not masks:
        return []
    middle = median(mask.coverage for mask in masks)
    if middle > 0.5:
        largest = max(masks, key=lambda mask: mask.coverage)
        return [
            f"ground_truth: half of the {len(masks)} masks mark more than {middle:.0%} of their "
            f"image ({largest.file.name}: {largest.coverage:.0%}); expected white on black, so "
            "invert them"
        ]
    return [
        f"{mask.file.name}: marks {mask.coverage:.0%} of its image, all round its edge; expected "
        "white on black, so invert it"
        for mask in masks
        if mask.looks_inverted
    ]


def _notes(pairs: Pairs, masks: Sequence[Checked]) -> list[str]:
    notes = []
    several = [(file, own) for file, own in pairs.items() if len(own) > 1]
    if several:
        file, own = several[0]
        notes.append(
            f"{len(several)} images have several masks, which are united: such as {file.name} "
            f"({len(own)} masks)"
        )
    soft = [mask.file.name for mask in masks if mask.is_soft_mask]
    if soft:
        notes.append(f"{len(soft)} masks have grey edges and are cut at half, such as {soft[0]}")
    large = [mask for mask in masks if mask.coverage > 0.5 and not mask.looks_inverted]
    if large:
        shown = ", ".join(f"{m.file.name} ({m.coverage:.0%})" for m in large[:_SHOWN])
        more = f" and {len(large) - _SHOWN} more" if len(large) > _SHOWN else ""
        notes.append(f"masks that mark more than half of their image: {shown}{more}")
    return notes

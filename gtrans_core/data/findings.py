"""What the checked images of a category are like as a whole: problems, and notes worth a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from gtrans_core.data.checking import Checked
from gtrans_core.data.listing import DataFile

_SHOWN = 4
_ANOTHER_SHAPE = 1.1
"""So many times as wide, or more, is another shape; a mask has only 256 pixels."""


def flatness_problems(images: Sequence[Checked]) -> list[str]:
    """Nothing can be learnt from pictures of one grey level, and the same one."""
    if not images or len({value for image in images for value in image.range}) > 1:
        return []
    return [f"every pixel of all {len(images)} images has the same value, {images[0].range[0]}"]


def duplicate_problems(images: Iterable[Checked]) -> list[str]:
    """The same picture in both splits, or under two labels, in the same bytes or in others."""
    first: dict[str, DataFile] = {}
    problems = []
    for image in images:
        twin = first.setdefault(image.sha256, image.file)
        if twin is image.file:
            twin = first.setdefault(image.pixels_sha256, image.file)
        if twin.part != image.file.part:
            problems.append(f"{image.file.name}: the same image as {twin.name}, in training")
        elif twin.defect != image.file.defect:
            problems.append(f"{image.file.name}: the same image as {twin.name}, labelled otherwise")
    return problems


def without_repeats(images: Sequence[Checked]) -> tuple[list[Checked], list[str]]:
    """The images, less training images whose pixels another has in other bytes; and the note.

    One of them might be trained on while the other is held out. Equal bytes are known as one image
    by every later step.
    """
    first: dict[str, Checked] = {}
    repeats = [
        image
        for image in images
        if image.file.part == "train"
        and first.setdefault(image.pixels_sha256, image).sha256 != image.sha256
    ]
    if not repeats:
        return list(images), []
    twin = first[repeats[0].pixels_sha256].file.name
    left_out = {image.file for image in repeats}
    return [image for image in images if image.file not in left_out], [
        f"left out of training, since other files show the same pixels: {len(repeats)} images, "
        f"such as {repeats[0].file.name} (as {twin})"
    ]


def mask_notes(mask: tuple[int, int] | None, images: Iterable[Checked]) -> list[str]:
    """Whether the mask of ``image.region``, of this height and width, has the images' shape."""
    wide = [image.width / image.height for image in images]
    if mask is None or not wide:
        return []
    stretched = median(wide) * mask[0] / mask[1]
    if max(stretched, 1 / stretched) < _ANOTHER_SHAPE:
        return []
    return [
        f"image.region: the mask is {mask[1] / mask[0]:.2f} times as wide as high, and the images "
        f"are {median(wide):.2f} times: it is stretched over them; paint it over one of them"
    ]


def size_notes(images: Iterable[Checked]) -> list[str]:
    """Which sizes there are, where there are several."""
    sizes = Counter(image.size for image in images)
    if len(sizes) < 2:
        return []
    shown = [f"{count} of {w} x {h}" for (w, h), count in sizes.most_common(_SHOWN)]
    if len(sizes) > _SHOWN:
        shown.append(f"{len(sizes) - _SHOWN} other sizes")
    shapes = sorted(width / height for width, height in sizes)
    note = f"images of {len(sizes)} sizes, all resized to one: {', '.join(shown)}"
    if shapes[-1] > 1.05 * shapes[0]:
        note += (
            f"; width : height is from {shapes[0]:.2f} to {shapes[-1]:.2f}, so parts are stretched "
            "differently"
        )
    return [note]


def turning_notes(images: Iterable[Checked], masked: Iterable[Checked]) -> list[str]:
    """How many images are turned by EXIF, and how many of them have a mask."""
    turned = [image for image in images if image.orientation != 1]
    if not turned:
        return []
    which = ", ".join(map(str, sorted({image.orientation for image in turned})))
    note = (
        f"{len(turned)} images are turned as their EXIF orientation says ({which}), such as "
        f"{turned[0].file.name}"
    )
    with_mask = sum(image.orientation != 1 for image in masked)
    if with_mask:
        note += f"; {with_mask} of them have a mask, which must show them turned"
    return [note]

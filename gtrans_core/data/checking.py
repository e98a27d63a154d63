"""Every file of a category read once, digested and fully decoded: what that tells of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import Picture, decode_picture
from gtrans_core.data.levels import counts_of
from gtrans_core.data.listing import DataFile
from gtrans_core.data.masks import Mask, read_mask_file
from gtrans_core.data.pictures import MAX_FILE_BYTES, why_not_read
from gtrans_core.errors import DataError

OnProgress = Callable[[int, int], None]

_THREADS = 4  # Pillow and hashlib release the GIL


@dataclass(frozen=True)
class Checked:
    """What reading and decoding a file told."""

    file: DataFile
    sha256: str = ""
    pixels_sha256: str = ""
    """Of what an image shows, however it was encoded."""
    width: int = 0
    height: int = 0
    orientation: int = 1
    """As EXIF said; width and height are those of the upright image."""
    range: tuple[int, int] = (0, 255)
    """Smallest and largest value of a pixel: 0..255, or of 65,535 where it is deep."""
    is_deep: bool = False
    """Whether it is grey with 16 bits."""
    counts: npt.NDArray[np.integer] | None = field(default=None, compare=False, repr=False)
    """How often each grey level occurs, where it is deep and trained on."""
    cut_counts: npt.NDArray[np.integer] | None = field(default=None, compare=False, repr=False)
    """How often each of the 256 values occurs that are left of 16 bits a channel in colour."""
    coverage: float = 0.0
    """Share of a mask that is marked."""
    value: int = 0
    """Of the pixels that a mask marks."""
    is_soft_mask: bool = False
    looks_inverted: bool = False
    problem: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return (self.width, self.height)

    @property
    def area(self) -> int:
        """Pixels that a mask marks."""
        return round(self.coverage * self.width * self.height)


def check_all(
    files: Sequence[DataFile], image: ImageConfig, on_progress: OnProgress | None
) -> Iterator[Checked]:
    """Read and decode all files.

    Args:
        files: images and masks.
        image: gives the most pixels an image may have.
        on_progress: called with (files checked, files in all) after each file.
    """
    check = partial(_check, max_megapixels=image.max_megapixels)
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, one in enumerate(pool.map(check, files), start=1):
            yield one
            if on_progress is not None:
                on_progress(done, len(files))


def _check(file: DataFile, max_megapixels: int) -> Checked:
    try:
        if reason := why_not_read(file.name):
            return Checked(file, problem=f"{file.name}: {reason}")
        size = file.path.stat().st_size
        if size > MAX_FILE_BYTES:
            return Checked(file, problem=f"{file.name}: too large, {size:,} bytes")
        data = file.path.read_bytes()
        if file.part == "ground_truth":
            return _checked_mask(file, data, read_mask_file(data, file.name, max_megapixels))
        return _checked_image(file, data, decode_picture(data, file.name, max_megapixels))
    except OSError as error:
        return Checked(file, problem=f"{file.name}: cannot be read ({error.strerror})")
    except DataError as error:
        return Checked(file, problem=str(error))


def _checked_image(file: DataFile, data: bytes, picture: Picture) -> Checked:
    height, width = picture.pixels.shape[:2]
    seen = picture.pixels if picture.deep is None else picture.deep.astype(np.uint16)
    is_trained_on = file.part == "train"
    pixels_sha256 = hashlib.sha256(repr(seen.shape).encode())
    pixels_sha256.update(np.ascontiguousarray(seen).data)
    return Checked(
        file,
        sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=pixels_sha256.hexdigest(),
        width=width,
        height=height,
        orientation=picture.orientation,
        range=(int(seen.min()), int(seen.max())),
        is_deep=picture.deep is not None,
        counts=counts_of(picture.deep) if picture.deep is not None and is_trained_on else None,
        cut_counts=np.bincount(seen.ravel(), minlength=256) if picture.is_cut else None,
    )


def _checked_mask(file: DataFile, data: bytes, mask: Mask) -> Checked:
    height, width = mask.defective.shape
    return Checked(
        file,
        sha256=hashlib.sha256(data).hexdigest(),
        width=width,
        height=height,
        orientation=mask.orientation,
        coverage=mask.coverage,
        value=mask.value,
        is_soft_mask=mask.is_soft,
        looks_inverted=mask.looks_inverted,
    )

"""Every file of a category read once, digested and fully decoded: what that tells of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gtrans_core.data.images import decode_picture
from gtrans_core.data.listing import DataFile
from gtrans_core.data.masks import Mask, read_mask_file
from gtrans_core.data.pictures import why_not_read
from gtrans_core.errors import DataError

MAX_FILE_BYTES = 512 * 2**20
"""Above what 50 megapixels take uncompressed at 16 bits a channel: larger files are not read."""

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
    brightest: int = 0
    """Largest value of a pixel, 0..255."""
    coverage: float = 0.0
    """Share of a mask that is marked."""
    is_soft_mask: bool = False
    looks_inverted: bool = False
    problem: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return (self.width, self.height)


def check_all(files: Sequence[DataFile], on_progress: OnProgress | None) -> list[Checked]:
    """Read and decode all files.

    Args:
        files: images and masks.
        on_progress: called with (files checked, files in all) after each file.
    """
    checked = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for done, one in enumerate(pool.map(_check, files), start=1):
            checked.append(one)
            if on_progress is not None:
                on_progress(done, len(files))
    return checked


def _check(file: DataFile) -> Checked:
    try:
        if reason := why_not_read(file.name):
            return Checked(file, problem=f"{file.name}: {reason}")
        size = file.path.stat().st_size
        if size > MAX_FILE_BYTES:
            return Checked(file, problem=f"{file.name}: too large, {size:,} bytes")
        data = file.path.read_bytes()
        if file.part == "ground_truth":
            return _checked_mask(file, data, read_mask_file(data, file.name))
        return _checked_image(file, data)
    except OSError as error:
        return Checked(file, problem=f"{file.name}: cannot be read ({error.strerror})")
    except DataError as error:
        return Checked(file, problem=str(error))


def _checked_image(file: DataFile, data: bytes) -> Checked:
    picture = decode_picture(data, file.name)
    height, width = picture.pixels.shape[:2]
    seen = picture.pixels if picture.deep is None else picture.deep.astype(np.uint16)
    pixels_sha256 = hashlib.sha256(repr(seen.shape).encode())
    pixels_sha256.update(np.ascontiguousarray(seen).data)
    return Checked(
        file,
        sha256=hashlib.sha256(data).hexdigest(),
        pixels_sha256=pixels_sha256.hexdigest(),
        width=width,
        height=height,
        orientation=picture.orientation,
        brightest=int(picture.pixels.max()),
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
        is_soft_mask=mask.is_soft,
        looks_inverted=mask.looks_inverted,
    )

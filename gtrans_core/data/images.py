"""The only place that decodes an image: limits, orientation, modes, full load.

What the modes become (all uint8 RGB):

- 1, L, P, RGB, CMYK, YCbCr: as Pillow converts them to RGB;
- transparency of any kind (alpha, a transparent palette entry or colour key): laid onto black, so
  that what lies hidden under it never reaches the network; an opaque alpha changes nothing;
- 16 bits of grey: the high byte (0..65535 to 0..255), or the range ``image.levels``;
- 16 bits a channel in colour: the high byte;
- floating point, Lab: refused, since their range is anyone's guess.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from gtrans_core.config import MOST_MEGAPIXELS, ImageConfig
from gtrans_core.data.costly import has_more_frames, why_costly
from gtrans_core.data.levels import stretch
from gtrans_core.data.view import as_seen
from gtrans_core.errors import DataError

DECODER_VERSION = f"1, Pillow {PIL.__version__}"
"""Part of the feature cache's key: raise it when decoded or preprocessed pixels change."""

REDUCING_GAP = 2
"""A fast resize leaves the filter at least this many pixels a side for each pixel it makes."""

_MEGA = 1_000_000
DEFAULT_MEGAPIXELS = ImageConfig().max_megapixels
MIN_SIDE = 8
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")

ImageArray = npt.NDArray[np.uint8]
MaskArray = npt.NDArray[np.bool_]

_SAVE_AS = "save it with 8 or 16 bits a channel"
INTEGER_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_COLOUR_MODES = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")
_ON_ITS_SIDE = range(5, 9)
"""EXIF orientations that swap width and height."""
_FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def decode_image(data: bytes, name: str, max_megapixels: int = DEFAULT_MEGAPIXELS) -> ImageArray:
    """Decode a whole file into RGB, upright as its EXIF orientation says.

    Args:
        data: the file's bytes.
        name: what to call it in an error.
        max_megapixels: a larger image is refused.

    Returns:
        uint8 [H, W, 3], 0..255.

    Raises:
        DataError: ``NAME: reason``, for bytes that are no image, are damaged or cut short, or
            show more than one frame, too many or too few pixels, or an unsupported mode.
    """
    return decode_picture(data, name, max_megapixels).pixels


@dataclass(frozen=True)
class Picture:
    """A whole image, upright.

    Attributes:
        pixels: uint8 [H, W, 3], 0..255.
        deep: integers [H, W] of a grey image with 16 bits, 0..65535; else None.
        is_cut: whether the file has 16 bits a channel in colour, of which 8 are read.
        orientation: as EXIF said (1..8); 1: it was upright.
    """

    pixels: ImageArray
    deep: npt.NDArray[np.integer] | None
    is_cut: bool
    orientation: int


def decode_picture(data: bytes, name: str, max_megapixels: int = DEFAULT_MEGAPIXELS) -> Picture:
    """As ``decode_image``, with what only a check of the data asks for."""
    with reported_as(name):
        image, orientation = upright(data, max_megapixels)
        deep = integers_of(image) if image.mode in INTEGER_MODES else None
        is_cut = deep is None and _has_16_bits(data)
        return Picture(np.array(_rgb(image)), deep, is_cut, orientation)


def decode_view(data: bytes, name: str, config: ImageConfig) -> ImageArray:
    """What the network sees of an encoded image: antialiased resize, then the centre crop, if any.

    Where ``config.resize`` is fast, an image of at least four times the size is shrunk by a whole
    factor before the filter: a JPEG by its decoder, any other by averaging. A filter over all
    pixels of a large image takes longer than decoding it does.

    Args:
        data: the file's bytes.
        name: what to call it in an error.
        config: gives the size ``config.view_shape``, the filter and how to resize.

    Returns:
        uint8 [3, H, W], C-contiguous.

    Raises:
        DataError: as ``decode_image``.
    """
    gap = REDUCING_GAP if config.resize == "fast" else None
    with reported_as(name):
        height, width = config.resized_shape
        least = (gap * width, gap * height) if gap else None
        return _view(upright(data, config.max_megapixels, least)[0], config, gap)


def view_of(image: Image.Image, name: str, config: ImageConfig) -> ImageArray:
    """As ``decode_view``, of an image that Pillow has, which stays as it is.

    A large JPEG may come out a little other than from its file, where its decoder shrinks it.

    Raises:
        DataError: as ``decode_image``.
    """
    with reported_as(name):
        _check_header(image, config.max_megapixels)
        turned = image.copy()
        ImageOps.exif_transpose(turned, in_place=True)
        return _view(turned, config, REDUCING_GAP if config.resize == "fast" else None)


def upright_size(data: bytes, name: str) -> tuple[int, int]:
    """Width and height in pixels of an encoded image once it is upright, by its header alone.

    Raises:
        DataError: for bytes that are no image.
    """
    with reported_as(name), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        # Of a TIFF Pillow tells the size that it will have.
        lies = image.format != "TIFF" and _orientation(image) in _ON_ITS_SIDE
        return (height, width) if lies else (width, height)


def encode_png(image: ImageArray) -> bytes:
    """A lossless PNG file of an image, uint8 [H, W, 3]."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def encode_mask(mask: MaskArray) -> bytes:
    """A PNG file of a mask, bool [H, W]: 0 good, 255 defective."""
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * np.uint8(255)).save(buffer, "PNG")
    return buffer.getvalue()


class RefusedError(Exception):
    """Why an image is not taken; becomes a DataError with the file's name."""


@contextmanager
def reported_as(name: str) -> Iterator[None]:
    """Whatever goes wrong while an image is decoded becomes one DataError with its name."""
    try:
        yield
    except RefusedError as refused:
        raise DataError(f"{name}: {refused}") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: not a {_format_list()} image") from None
    except Exception as error:  # noqa: BLE001 - Pillow raises nearly anything on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: damaged or cut short, cannot be decoded ({reason})") from None


def upright(
    data: bytes, max_megapixels: int, least: tuple[int, int] | None = None
) -> tuple[Image.Image, int]:
    """Open, check what the header says, decode every pixel, turn as EXIF says.

    A JPEG may come out as a half, a quarter or an eighth, not below the width and height ``least``.

    Returns:
        The image, and the EXIF orientation it had (1..8).
    """
    if not data:
        raise RefusedError("empty file (0 bytes)")
    if reason := why_costly(data):
        raise RefusedError(f"{reason}, which would take too long to decode; save it anew")
    try:
        image: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedError(_too_large(max_megapixels, str(error))) from None  # Pillow's own limit
    _check_header(image, max_megapixels)
    before = _orientation(image)  # a TIFF is turned as it is loaded
    if least is not None:
        image.draft(None, least[::-1] if before in _ON_ITS_SIDE else least)
    image.load()
    orientation = max(before, _orientation(image))  # a PNG may say so after its pixels
    ImageOps.exif_transpose(image, in_place=True)
    return image, orientation


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _check_header(image: Image.Image, max_megapixels: int) -> None:
    """Everything that can be refused before memory is spent on pixels."""
    width, height = image.size
    if width * height > max_megapixels * _MEGA:
        counted = f"{width} x {height} = {width * height:,}"
        raise RefusedError(_too_large(max_megapixels, counted))
    if min(width, height) < MIN_SIDE:
        raise RefusedError(f"too small: {width} x {height} pixels, at least {MIN_SIDE} a side")
    if image.format != "MPO" and has_more_frames(image):  # as phones write, a preview behind it
        raise RefusedError("animated or multi-page: expected one frame")
    if not (image.mode in (*_COLOUR_MODES, *INTEGER_MODES) or image.has_transparency_data):
        raise RefusedError(f"unsupported pixel mode {image.mode}, {_SAVE_AS}")


def _too_large(max_megapixels: int, reason: str) -> str:
    return (
        f"too large, at most {max_megapixels * _MEGA:,} pixels ({reason}); cut it into tiles, "
        f"shrink it, or raise image.max_megapixels (up to {MOST_MEGAPIXELS})"
    )


def _has_16_bits(data: bytes) -> bool:
    """Whether the header says that Pillow cuts each channel to 8 bits."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return any(";16" in str(tile[3]) for tile in image.tile)


def _not_deep(levels: tuple[int, int]) -> RefusedError:
    return RefusedError(
        "not a grey image of 16 bits, but the training images were, and their grey levels "
        f"{levels[0]} to {levels[1]} are read (image.levels); give files as the camera writes them"
    )


def _view(image: Image.Image, config: ImageConfig, gap: int | None) -> ImageArray:
    """What ``decode_view`` returns, of an image that is upright."""
    # Grey stays one channel until it is small: the same pixels in a third of the time.
    if image.mode != "L" or image.has_transparency_data:
        image = _rgb(image, config.levels)
    elif config.levels is not None:
        raise _not_deep(config.levels)
    height, width = config.resized_shape
    resized = image.resize((width, height), _FILTERS[config.interpolation], reducing_gap=gap)
    rgb = np.asarray(centre_crop(resized, config).convert("RGB"))
    return as_seen(np.ascontiguousarray(rgb.transpose(2, 0, 1)), config)


def _rgb(image: Image.Image, levels: tuple[int, int] | None = None) -> Image.Image:
    if image.mode in INTEGER_MODES:
        values = integers_of(image)
        grey = (values >> 8).astype(np.uint8) if levels is None else stretch(values, levels)
        return Image.fromarray(grey).convert("RGB")
    if levels is not None:
        raise _not_deep(levels)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def integers_of(image: Image.Image) -> npt.NDArray[np.integer]:
    """The pixels [H, W] of an image in one of ``INTEGER_MODES``, 0..65535."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 0xFFFF:
        seen = f"they are from {values.min()} to {values.max()}"
        raise RefusedError(f"integer pixels outside 0..65535 ({seen}), {_SAVE_AS}")
    return values


def centre_crop(image: Image.Image, config: ImageConfig) -> Image.Image:
    """What ``image.crop`` leaves of an image of ``config.resized_shape``."""
    if config.crop is None:
        return image
    top, left = config.cropped_away
    return image.crop((left, top, left + config.crop, top + config.crop))


def _format_list() -> str:
    return ", ".join(FORMATS[:-1]) + f" or {FORMATS[-1]}"

"""Preprocessing: what the network sees of an image and of its mask."""

import io

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_image, decode_view, preprocess, preprocess_mask
from gtrans_core.errors import DataError

RNG = np.random.default_rng(0)


def as_rgb(grey):
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_preprocess_is_a_plain_antialiased_resize(interpolation):
    config = ImageConfig(size=64, interpolation=interpolation)
    image = RNG.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    ready = preprocess(image, config)
    assert ready.shape == (3, 64, 64)
    assert ready.dtype == np.uint8
    assert ready.flags.c_contiguous
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
    for channel in range(3):
        plain = Image.fromarray(image[:, :, channel]).resize((64, 64), filters[interpolation])
        np.testing.assert_array_equal(ready[channel], np.asarray(plain))


def test_preprocess_of_the_right_size_changes_nothing():
    image = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    ready = preprocess(image, ImageConfig(size=64))
    np.testing.assert_array_equal(ready, image.transpose(2, 0, 1))


def test_crop_is_the_centre_of_the_resize():
    image = RNG.integers(0, 256, (100, 90, 3), dtype=np.uint8)
    whole = preprocess(image, ImageConfig(size=64))
    cropped = preprocess(image, ImageConfig(size=64, crop=32))
    np.testing.assert_array_equal(cropped, whole[:, 16:48, 16:48])
    assert cropped.flags.c_contiguous
    mask = RNG.random((100, 90)) > 0.5
    whole_mask = preprocess_mask(mask, ImageConfig(size=64))
    cropped_mask = preprocess_mask(mask, ImageConfig(size=64, crop=32))
    np.testing.assert_array_equal(cropped_mask, whole_mask[16:48, 16:48])


@pytest.mark.parametrize("config", [ImageConfig(size=64), ImageConfig(size=96, crop=64)])
@pytest.mark.parametrize(
    ("mode", "file_format"),
    [
        *(("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG")),
        *(("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"), ("YCbCr", "TIFF")),
    ],
)
def test_a_view_is_the_decoded_image_preprocessed(
    mode: str, file_format: str, config: ImageConfig
) -> None:
    """Of every mode: bit for bit, and what Pillow keeps of the file changes nothing."""
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 65536, (150, 120), dtype=np.uint16))
    else:
        channels = {"RGBA": (150, 120, 4), "LA": (150, 120, 2)}.get(mode, (150, 120, 3))
        pixels = RNG.integers(0, 256, channels, dtype=np.uint8)
        image = Image.fromarray(pixels)
        image = image if image.mode == mode else image.convert(mode)
    assert image.mode == mode
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    data = buffer.getvalue()
    view = decode_view(data, "a.png", config)
    assert view.flags.c_contiguous
    np.testing.assert_array_equal(view, preprocess(decode_image(data, "a.png"), config))


def test_a_view_of_a_damaged_image_is_refused_by_its_name() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    with pytest.raises(DataError, match=r"^a\.png: damaged or cut short"):
        decode_view(buffer.getvalue()[:200], "a.png", ImageConfig(size=64))


def test_mask_follows_the_image():
    """A defect and its mask land on the same pixels, whichever way the aspect ratio changes."""
    mask = np.zeros((96, 192), dtype=bool)
    mask[24:48, 48:144] = True
    image = as_rgb(mask * np.uint8(255))
    config = ImageConfig(size=32)
    small_mask = preprocess_mask(mask, config)
    assert small_mask.dtype == np.bool_
    np.testing.assert_array_equal(small_mask, preprocess(image, config)[0] > 127)


def test_a_mask_pixel_is_defective_where_half_of_its_area_is():
    mask = np.zeros((64, 64), dtype=bool)
    mask[0:2, 0:1] = True  # half of the 2 x 2 square under pixel (0, 0)
    mask[2:3, 2:3] = True  # a quarter of the one under (1, 1)
    small = preprocess_mask(mask, ImageConfig(size=32))
    assert np.argwhere(small).tolist() == [[0, 0]]


@pytest.mark.parametrize("corner", [0, 1, 13, 500, 1022])
def test_a_defect_smaller_than_a_pixel_keeps_what_it_touches(corner: int):
    """Nearest neighbour lost most of these, and with them whole regions of AU-PRO."""
    mask = np.zeros((1024, 1024), dtype=bool)
    mask[corner : corner + 2, corner : corner + 2] = True
    small = preprocess_mask(mask, ImageConfig(size=256))
    touched = {(y // 4, x // 4) for y, x in np.argwhere(mask)}
    assert {tuple(place) for place in np.argwhere(small).tolist()} == touched

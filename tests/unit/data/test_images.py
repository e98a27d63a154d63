"""Preprocessing: what the network sees of an image and of its mask."""

import io

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_image, decode_view, upright_size
from gtrans_core.data.mask_view import preprocess_mask
from gtrans_core.data.sources.demo_surface import good_surface, render
from gtrans_core.errors import DataError

RNG = np.random.default_rng(0)
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def as_rgb(grey):
    return np.repeat(grey[:, :, None], 3, axis=2)


def encoded(image: Image.Image | np.ndarray, file_format: str = "PNG", **options: object) -> bytes:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def view_of(image: np.ndarray, config: ImageConfig) -> np.ndarray:
    return decode_view(encoded(image), "a.png", config)


def noise_of(mode: str, height: int, width: int) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(RNG.integers(0, 65536, (height, width), dtype=np.uint16))
    channels = {"RGBA": 4, "LA": 2}.get(mode, 3)
    image = Image.fromarray(RNG.integers(0, 256, (height, width, channels), dtype=np.uint8))
    return image if image.mode == mode else image.convert(mode)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_view_is_a_plain_antialiased_resize(interpolation):
    config = ImageConfig(size=64, interpolation=interpolation, resize="exact")
    image = RNG.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    ready = view_of(image, config)
    assert ready.shape == (3, 64, 64)
    assert ready.dtype == np.uint8
    assert ready.flags.c_contiguous
    for channel in range(3):
        plain = Image.fromarray(image[:, :, channel]).resize((64, 64), FILTERS[interpolation])
        np.testing.assert_array_equal(ready[channel], np.asarray(plain))


def test_an_image_of_the_right_size_stays_as_it_is():
    image = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    np.testing.assert_array_equal(view_of(image, ImageConfig(size=64)), image.transpose(2, 0, 1))


def test_crop_is_the_centre_of_the_resize():
    image = RNG.integers(0, 256, (100, 90, 3), dtype=np.uint8)
    whole = view_of(image, ImageConfig(size=64))
    cropped = view_of(image, ImageConfig(size=64, crop=32))
    np.testing.assert_array_equal(cropped, whole[:, 16:48, 16:48])
    assert cropped.flags.c_contiguous
    mask = RNG.random((100, 90)) > 0.5
    whole_mask = preprocess_mask(mask, ImageConfig(size=64))
    cropped_mask = preprocess_mask(mask, ImageConfig(size=64, crop=32))
    np.testing.assert_array_equal(cropped_mask, whole_mask[16:48, 16:48])


MODES = [
    *(("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"), ("RGB", "PNG"), ("RGBA", "PNG")),
    *(("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("I;16", "PNG"), ("YCbCr", "TIFF"), ("L", "PNG")),
]


@pytest.mark.parametrize("config", [ImageConfig(size=64), ImageConfig(size=96, crop=64)])
@pytest.mark.parametrize(("mode", "file_format"), MODES)
def test_a_view_is_the_decoded_image_resized(
    mode: str, file_format: str, config: ImageConfig
) -> None:
    """Of every mode, bit for bit: by a fast resize too, up to four times the size."""
    data = encoded(noise_of(mode, 255, 120), file_format)
    view = decode_view(data, "a.png", config)
    assert view.flags.c_contiguous
    whole = Image.fromarray(decode_image(data, "a.png"))
    low = (config.resized_shape[0] - config.view_shape[0]) // 2
    expected = np.asarray(whole.resize((config.size, config.size), FILTERS["bilinear"]))
    inner = slice(low, low + config.view_shape[0])
    np.testing.assert_array_equal(view, expected[inner, inner].transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
def test_a_view_may_be_wider_than_high(file_format: str, orientation: int) -> None:
    """Of a JPEG that the decoder shrinks too, and of one that lies on its side in the file."""
    upright = render(good_surface(np.random.default_rng(0), 800))[:500]
    lying = np.rot90(upright) if orientation == 6 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(lying.copy()), file_format, exif=exif)
    view = decode_view(data, "a.png", ImageConfig(size=(96, 192)))
    assert view.shape == (3, 96, 192)
    expected = np.asarray(Image.fromarray(upright).resize((192, 96), FILTERS["bilinear"]))
    assert np.abs(view.transpose(1, 2, 0).astype(int) - expected).mean() < 4
    square = decode_view(data, "a.png", ImageConfig(size=(96, 192), crop=64))
    np.testing.assert_array_equal(square, view[:, 16:80, 64:128])


def test_a_mask_is_in_the_views_geometry() -> None:
    mask = np.zeros((50, 80), np.bool_)
    mask[10:20, 40:80] = True
    small = preprocess_mask(mask, ImageConfig(size=(96, 160)))
    rows, columns = np.nonzero(small)
    assert small.shape == (96, 160)
    assert (rows.min(), columns.min(), columns.max()) == (19, 80, 159)


def test_a_transparent_grey_lies_on_black() -> None:
    data = encoded(Image.fromarray(np.full((200, 200), 90, np.uint8)), transparency=90)
    assert not decode_view(data, "a.png", ImageConfig(size=64)).any()


@pytest.mark.parametrize(("mode", "file_format"), MODES)
def test_a_fast_resize_averages_or_lets_the_jpeg_decoder_shrink(
    mode: str, file_format: str
) -> None:
    """As Pillow by itself does it, step by step: a half, since a third is below 2 x 64."""
    data = encoded(noise_of(mode, 300, 260), file_format)
    view = decode_view(data, "a.png", ImageConfig(size=64))
    if file_format == "JPEG":
        reference = Image.open(io.BytesIO(data))
        reference.draft(None, (128, 128))
        assert reference.size == (130, 150)
        reference = reference.convert("RGB")
    else:
        reference = Image.fromarray(decode_image(data, "a.png")).reduce(2)
    expected = np.asarray(reference.resize((64, 64), FILTERS["bilinear"]))
    np.testing.assert_array_equal(view, expected.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("file_format", "options"), [("PNG", {}), ("JPEG", {"quality": 90})])
def test_a_fast_resize_shows_what_the_exact_one_does(
    file_format: str, options: dict[str, object], orientation: int
) -> None:
    """Upright as EXIF says; off by less than a JPEG of this quality is from its original."""
    fabric = render(good_surface(np.random.default_rng(0), 800))[:700]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(fabric, file_format, exif=exif, **options)
    fast, exact = (
        decode_view(data, "a", ImageConfig(size=160, resize=how)).astype(int)
        for how in ("fast", "exact")
    )
    off = np.abs(fast - exact)
    assert 0 < off.mean() < 1
    assert off.max() < 16


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "TIFF"])
def test_the_size_is_that_of_the_upright_image(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(noise_of("RGB", 30, 50), file_format, exif=exif)
    height, width, _ = decode_image(data, "a").shape
    assert upright_size(data, "a") == (width, height)


def test_what_is_no_image_has_no_size() -> None:
    with pytest.raises(DataError, match=r"^a\.png: not a PNG, JPEG"):
        upright_size(b"text", "a.png")


def test_a_fast_resize_of_a_jpeg_cut_short_is_refused() -> None:
    data = encoded(noise_of("RGB", 800, 800), "JPEG")
    with pytest.raises(DataError, match=r"^a\.jpg: damaged or cut short"):
        decode_view(data[: len(data) // 2], "a.jpg", ImageConfig(size=64))


def test_a_view_of_a_damaged_image_is_refused_by_its_name() -> None:
    data = encoded(noise_of("RGB", 64, 64))
    with pytest.raises(DataError, match=r"^a\.png: damaged or cut short"):
        decode_view(data[:200], "a.png", ImageConfig(size=64))


def test_mask_follows_the_image():
    """A defect and its mask land on the same pixels, whichever way the aspect ratio changes."""
    mask = np.zeros((96, 192), dtype=bool)
    mask[24:48, 48:144] = True
    image = as_rgb(mask * np.uint8(255))
    config = ImageConfig(size=32)
    small_mask = preprocess_mask(mask, config)
    assert small_mask.dtype == np.bool_
    np.testing.assert_array_equal(small_mask, view_of(image, config)[0] > 127)


def test_a_mask_pixel_is_defective_where_half_of_its_area_is():
    mask = np.zeros((64, 64), dtype=bool)
    mask[0:2, 0:1] = True  # half of the 2 x 2 square under pixel (0, 0)
    mask[2:3, 1:2] = True  # a quarter of the one under (1, 0)
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


def test_a_small_region_beside_a_large_one_is_kept():
    """AU-PRO weighs regions alike, so one that vanished was never missed."""
    mask = np.zeros((512, 512), dtype=bool)
    mask[100:300, 100:300] = True
    mask[401, 41] = mask[401, 47] = True
    small = preprocess_mask(mask, ImageConfig(size=64))
    assert small[13:37, 13:37].all()
    assert np.argwhere(small[45:]).tolist() == [[5, 5]]  # both specks lie under one pixel


def test_specks_that_a_larger_region_swallows_add_nothing():
    mask = np.zeros((512, 512), dtype=bool)
    mask[128:256, 128:256] = True
    mask[130, 130] = False
    alone = preprocess_mask(mask, ImageConfig(size=64))
    mask[128:256, 257] = True  # a line a pixel away, in the next column of pixels
    assert alone.sum() == 16 * 16
    assert preprocess_mask(mask, ImageConfig(size=64)).sum() == 16 * 17

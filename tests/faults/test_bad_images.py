"""Faults 8, 9 and 10: a good image or mask of any mode decodes right, all else is one DataError."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gtrans_core.data.images import decode_image, encode_mask
from gtrans_core.data.masks import decode_class_mask, decode_mask
from gtrans_core.errors import DataError

HEIGHT, WIDTH = 10, 12
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]
DEEP = RNG.integers(0, 65536, (HEIGHT, WIDTH), dtype=np.uint16)


def encode(image, file_format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def as_rgb(grey):
    return np.repeat(grey[:, :, None], 3, axis=2)


def png_header(width, height):
    """A PNG that claims a size and holds no pixels: whoever decodes it before looking fails."""

    def chunk(kind, body):
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("file_format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_decode_exactly(file_format, options):
    data = encode(Image.fromarray(RGB), file_format, **options)
    decoded = decode_image(data, "a")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, RGB)


def test_jpeg_decodes_closely():
    smooth = np.linspace(40, 200, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)
    decoded = decode_image(encode(Image.fromarray(as_rgb(smooth)), "JPEG", quality=95), "a")
    assert np.abs(decoded.astype(int) - as_rgb(smooth)).max() <= 4


def test_grey_and_bilevel():
    np.testing.assert_array_equal(decode_image(encode(Image.fromarray(GREY)), "a"), as_rgb(GREY))
    bits = GREY > 127
    decoded = decode_image(encode(Image.fromarray(bits)), "a")
    np.testing.assert_array_equal(decoded, as_rgb(bits * np.uint8(255)))


def test_palette():
    paletted = Image.fromarray((GREY % 3).astype(np.uint8), "P")
    colours = np.array([[250, 0, 1], [2, 120, 3], [9, 8, 7]], dtype=np.uint8)
    paletted.putpalette(colours.tobytes())
    np.testing.assert_array_equal(decode_image(encode(paletted), "a"), colours[GREY % 3])


def test_transparent_palette_entry_becomes_black():
    paletted = Image.fromarray((GREY % 3).astype(np.uint8), "P")
    colours = np.array([[250, 0, 1], [2, 120, 3], [9, 8, 7]], dtype=np.uint8)
    paletted.putpalette(colours.tobytes())
    colours[1] = 0
    decoded = decode_image(encode(paletted, transparency=1), "a")
    np.testing.assert_array_equal(decoded, colours[GREY % 3])


def test_opaque_alpha_changes_nothing():
    opaque = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    rgba = Image.fromarray(np.concatenate([RGB, opaque], axis=2))
    np.testing.assert_array_equal(decode_image(encode(rgba), "a"), RGB)
    grey_alpha = Image.fromarray(np.concatenate([GREY[:, :, None], opaque], axis=2), "LA")
    np.testing.assert_array_equal(decode_image(encode(grey_alpha), "a"), as_rgb(GREY))


def test_alpha_is_laid_onto_black():
    alpha = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    alpha[:, : WIDTH // 2] = 255
    alpha[0, 0] = 128
    decoded = decode_image(encode(Image.fromarray(np.concatenate([RGB, alpha], axis=2))), "a")
    expected = RGB * (alpha / 255)
    assert np.abs(decoded - expected).max() <= 1
    assert not decoded[:, WIDTH // 2 :].any()


def test_cmyk_jpeg():
    ink = Image.new("CMYK", (WIDTH, HEIGHT), (255, 0, 0, 0))
    decoded = decode_image(encode(ink, "JPEG", quality=100), "a")
    assert np.abs(decoded.astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_the_high_byte(file_format):
    decoded = decode_image(encode(Image.fromarray(DEEP), file_format), "a")
    np.testing.assert_array_equal(decoded, as_rgb((DEEP >> 8).astype(np.uint8)))


def test_thirty_two_bit_integers_within_sixteen_bits():
    decoded = decode_image(encode(Image.fromarray(DEEP.astype(np.int32)), "TIFF"), "a")
    np.testing.assert_array_equal(decoded, as_rgb((DEEP >> 8).astype(np.uint8)))
    with pytest.raises(DataError, match=r"^deep\.tif: integer pixels outside 0\.\.65535"):
        decode_image(encode(Image.fromarray(DEEP.astype(np.int32) + 65536), "TIFF"), "deep.tif")


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (4, lambda a: a[::-1]),
        (5, lambda a: a.swapaxes(0, 1)),
        (6, lambda a: np.rot90(a, -1)),
        (7, lambda a: np.rot90(a.swapaxes(0, 1), 2)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(file_format, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(RGB), file_format, exif=exif)
    np.testing.assert_array_equal(decode_image(data, "a"), turned(RGB))
    mask = encode(Image.fromarray(GREY > 127).convert("L"), file_format, exif=exif)
    np.testing.assert_array_equal(decode_mask(mask, "a"), turned(GREY > 127))


def test_sixteen_bit_image_is_turned_too():
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode_image(encode(Image.fromarray(DEEP), exif=exif), "a")
    np.testing.assert_array_equal(decoded[:, :, 0], np.rot90(DEEP >> 8, -1))


def frames(file_format):
    first, second = Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())
    return encode(first, file_format, save_all=True, append_images=[second])


def test_a_jpeg_with_a_preview_behind_it_is_its_first_picture():
    """MPO, as phones write it."""
    preview = Image.fromarray(GREY[::2, ::2])
    smooth = Image.new("RGB", (WIDTH, HEIGHT), (90, 120, 30))
    data = encode(smooth, "MPO", save_all=True, append_images=[preview])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    decoded = decode_image(data, "a.jpg")
    assert decoded.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(decoded, np.broadcast_to((90, 120, 30), decoded.shape), atol=3)


FLOAT = Image.fromarray(np.full((HEIGHT, WIDTH), 0.5, np.float32))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"just some words", "not a PNG, JPEG, BMP, TIFF or WEBP image"),
        (encode(Image.fromarray(GREY), "GIF"), "not a PNG, JPEG, BMP, TIFF or WEBP image"),
        (encode(Image.fromarray(RGB))[:-40], "damaged or cut short"),
        (encode(Image.fromarray(RGB), "JPEG")[:-20], "damaged or cut short"),
        (encode(Image.new("L", (7, 90))), "too small: 7 x 90 pixels"),
        (png_header(5001, 10_000), "too large, at most 50,000,000 pixels"),
        (png_header(12_000, 10_000), "too large, at most 50,000,000 pixels"),
        (png_header(20_000, 20_000), r"too large, at most 50,000,000 pixels \(.*400000000"),
        (frames("PNG"), "animated or multi-page: expected one frame"),
        (frames("WEBP"), "animated or multi-page: expected one frame"),
        (frames("TIFF"), "animated or multi-page: expected one frame"),
        (encode(FLOAT, "TIFF"), "unsupported pixel mode F"),
        (encode(Image.new("LAB", (WIDTH, HEIGHT)), "TIFF"), "unsupported pixel mode LAB"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_file_is_one_line_with_its_name(data, reason):
    for decode in (decode_image, decode_mask):
        with pytest.raises(DataError, match=rf"^dir/x\.png: {reason}") as caught:
            decode(data, "dir/x.png")
        assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("error")
def test_bomb_warning_turned_into_an_error_is_reported_too():
    with pytest.raises(DataError, match=r"^a: too large.*120000000"):
        decode_image(png_header(12_000, 10_000), "a")


def test_largest_allowed_image_passes():
    image = Image.new("1", (10_000, 5000))
    assert decode_mask(encode(image), "a").shape == (5000, 10_000)


def test_the_limit_can_be_raised_and_the_message_says_how():
    data = encode(Image.new("1", (10_001, 5000)))
    with pytest.raises(DataError, match=r"into tiles, .* or raise image\.max_megapixels") as told:
        decode_image(data, "a")
    assert "10001 x 5000 = 50,005,000" in str(told.value)
    assert decode_mask(data, "a", max_megapixels=51).shape == (5000, 10_001)


@pytest.mark.parametrize("mark", [1, 7, 255])
def test_mask_values(mark):
    expected = GREY > 127
    data = encode(Image.fromarray((expected * mark).astype(np.uint8)))
    decoded = decode_mask(data, "a")
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, expected)


@given(st.lists(st.integers(0, 255), min_size=120, max_size=120), st.sampled_from("LP"))
@settings(deadline=None)
def test_class_mask_becomes_a_two_valued_one(values, mode):
    classes = np.array(values, np.uint8).reshape(HEIGHT, WIDTH)
    image = Image.fromarray(classes)
    if mode == "P":
        image.putpalette([0, 0, 0, *([200, 40, 7] * 255)])
    decoded = decode_class_mask(encode(image), "a")
    np.testing.assert_array_equal(decoded, classes != 0)
    np.testing.assert_array_equal(decode_mask(encode_mask(decoded), "a"), decoded)


def test_class_mask_that_is_damaged():
    with pytest.raises(DataError, match=r"^a: "):
        decode_class_mask(encode(Image.fromarray(GREY))[:60], "a")


@pytest.mark.parametrize("mark", [1, 65535])
def test_sixteen_bit_mask(mark):
    expected = GREY > 127
    data = encode(Image.fromarray((expected * mark).astype(np.uint16)))
    np.testing.assert_array_equal(decode_mask(data, "a"), expected)


def test_coloured_and_bilevel_masks():
    expected = GREY > 127
    paletted = Image.fromarray(expected.astype(np.uint8), "P")
    paletted.putpalette([0, 0, 0, 128, 0, 0])
    np.testing.assert_array_equal(decode_mask(encode(paletted), "a"), expected)
    np.testing.assert_array_equal(decode_mask(encode(Image.fromarray(expected)), "a"), expected)


def test_uniform_masks():
    assert not decode_mask(encode(Image.new("L", (WIDTH, HEIGHT))), "a").any()
    assert decode_mask(encode(Image.new("L", (WIDTH, HEIGHT), 255)), "a").all()


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        (Image.fromarray((GREY % 3).astype(np.uint8) * 100), r"3 values \(0, 100, 200\)"),
        (Image.fromarray((GREY % 2).astype(np.uint8) + 1), r"2 values \(1, 2\)"),
        (Image.fromarray(np.arange(120, dtype=np.uint8).reshape(10, 12)), r"\(0, 1, .*, 5, \.\.\."),
        (Image.fromarray(RGB), r"\d\d values"),
    ],
)
def test_mask_with_more_values_is_refused(image, seen):
    with pytest.raises(DataError, match=rf"^m\.png: not a two-valued mask: it has .*{seen}"):
        decode_mask(encode(image), "m.png")

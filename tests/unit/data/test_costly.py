"""Files that are small and would be decoded for minutes are refused at once."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from gtrans_core.data.images import decode_image
from gtrans_core.errors import DataError
from tests.support.images import encoded


def plain(file_format: str, **options: object) -> bytes:
    return encoded(Image.new("L", (16, 16)), file_format, **options)


def scans(count: int) -> bytes:
    """A progressive JPEG whose last pass over the pixels is there so many times more."""
    data = plain("JPEG", progressive=True)
    last = data[data.rfind(b"\xff\xda") : -2]
    return data[:-2] + last * count + data[-2:]


def segments(count: int, piece: bytes = b"\xff\xe9\x00\x02") -> bytes:
    data = plain("JPEG")
    return data[:2] + piece * count + data[2:]


def chunks(count: int, kind: bytes = b"abCd") -> bytes:
    data = plain("PNG")
    piece = struct.pack(">I", 0) + kind + struct.pack(">I", zlib.crc32(kind))
    return data[:33] + piece * count + data[33:]


def pages(count: int) -> bytes:
    """A TIFF of so many pages, each with the same pixels."""
    tags = ((256, 16), (257, 16), (258, 8), (259, 1), (262, 1), (273, 8), (278, 16), (279, 256))
    page = struct.pack("<H", len(tags))
    page += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    first = 8 + 256
    size = len(page) + 4
    nexts = (first + size * number if number < count else 0 for number in range(1, count + 1))
    whole = b"".join(page + struct.pack("<I", after) for after in nexts)
    return b"II*\0" + struct.pack("<I", first) + bytes(256) + whole


COSTLY: dict[str, tuple[Callable[[], bytes], str]] = {
    "scans": (lambda: scans(100_000), "more than 100 passes over its pixels"),
    "segments": (lambda: segments(500_000), "a JPEG in thousands of tiny pieces"),
    "comments": (lambda: segments(500_000, b"\xff\xfe\x00\x02"), "a JPEG in thousands of tiny"),
    "fill bytes": (lambda: segments(5_000_000, b"\xff"), "a JPEG in thousands of tiny pieces"),
    "chunks": (lambda: chunks(500_000), "a PNG in thousands of tiny pieces"),
    "pages": (lambda: pages(100_000), "multi-page: expected one frame"),
}


@pytest.mark.parametrize("what", COSTLY)
def test_it_is_refused_before_it_costs_anything(what: str):
    make, says = COSTLY[what]
    data, began = make(), time.process_time()
    with pytest.raises(DataError, match=f"a.png: .*{says}"):
        decode_image(data, "a.png")
    assert time.process_time() - began < 0.5


def with_a_film(data: bytes) -> bytes:
    """As a phone writes it: after the picture come megabytes of anything."""
    return data + b"\xff\xda\x00\x00" * 50_000


SOUND: dict[str, bytes] = {
    "passes": scans(20),
    "a film behind it": with_a_film(plain("JPEG")),
    "segments": segments(100),
    "chunks": chunks(100),
    "something behind a PNG": plain("PNG") + bytes(100_000),
    "one page": pages(1),
    "a preview in its header": plain("JPEG", exif=b"Exif\0\0" + scans(10)),
    "text": plain("JPEG", comment=b"\xff\xda" * 500),
}


@pytest.mark.parametrize("what", SOUND)
def test_an_ordinary_one_is_decoded(what: str):
    expected = Image.open(io.BytesIO(SOUND[what])).convert("RGB").tobytes()
    assert decode_image(SOUND[what], what).tobytes() == expected

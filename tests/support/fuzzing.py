"""Hypothesis shapes the input, random bytes drive it until the time is up.

A minute for all parsers together (``GTRANS_FUZZ_SECONDS`` allows longer, ``GTRANS_FUZZ_SEED``
another start).
"""

from __future__ import annotations

import copy
import io
import json
import os
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gtrans_core.errors import GTransError

SECONDS = float(os.environ.get("GTRANS_FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("GTRANS_FUZZ_SEED", "0"))
PARSERS = 11
"""Tests in both files, which share the time."""
LEAST = 20
"""Inputs that each gets on however slow a machine."""


def fuzz(strategy: st.SearchStrategy[Any], parse: Callable[[Any], object]) -> None:
    """Hand ``parse`` what the strategy makes of random bytes, until its share of time is over."""

    @settings(database=None)
    @given(strategy)
    def once(value: Any) -> None:
        nonlocal tried
        tried += 1
        try:
            parse(value)
        except GTransError as error:
            check_one_line(error)

    tried = 0
    rng = random.Random(SEED)  # noqa: S311 (not for secrets)
    deadline = time.monotonic() + SECONDS / PARSERS
    while time.monotonic() < deadline or tried < LEAST:
        once.hypothesis.fuzz_one_input(rng.randbytes(4000))


def check_one_line(error: GTransError) -> None:
    assert str(error)
    assert "\n" not in str(error), f"more than a line: {error}"


@st.composite
def damaged(draw: st.DrawFn, *valid: bytes) -> bytes:
    """One of some valid files after a few blows, or noise behind its first bytes."""
    data = bytearray(draw(st.sampled_from(valid)))
    if draw(st.integers(0, 7)) == 0:
        return bytes(data[: draw(st.integers(0, 64))]) + draw(st.binary(max_size=300))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["set", "cut", "insert", "repeat", "zero"]))
        if kind == "set" and data:
            data[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 200))]
        elif kind == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=20))
        elif kind == "repeat":
            data[at:at] = data[at : at + 40]
        else:
            data[at : at + 8] = bytes(len(data[at : at + 8]))
    return bytes(data)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "../x", "/etc/passwd", "a\0b", "nan", "0" * 64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@st.composite
def spoiled(draw: st.DrawFn, valid: bytes) -> bytes:
    """A JSON file in which some values are of another kind, missing, or new."""
    if draw(st.integers(0, 3)) == 0:
        return draw(damaged(valid))
    whole = copy.deepcopy(json.loads(valid))
    for _ in range(draw(st.integers(1, 3))):
        place = whole
        while isinstance(place, dict | list) and place:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            what = draw(st.sampled_from(["other", "gone", "new"]))
            if what == "other":
                place[key] = draw(ANYTHING)
            elif what == "gone":
                del place[key]
            elif isinstance(place, dict):
                place[draw(st.text(max_size=4))] = draw(ANYTHING)
            break
    return json.dumps(whole).encode()


RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (10, 12, 3), dtype=np.uint8)


def encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


IMAGES = (
    encoded(Image.fromarray(RGB), "PNG"),
    encoded(Image.fromarray(RGB), "JPEG"),
    encoded(Image.fromarray(RGB), "BMP"),
    encoded(Image.fromarray(RGB), "TIFF", compression="tiff_deflate"),
    encoded(Image.fromarray(RGB), "WEBP", lossless=True),
    encoded(Image.fromarray(RGB[:, :, 0] % 3, "P"), "PNG", transparency=1),
    encoded(Image.fromarray(RGB[:, :, 0].astype(np.uint16) * 257), "PNG"),
)

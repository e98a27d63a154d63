"""Encoded images for tests: noise, masks, and photographs of one part."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

SIDE = 16
"""Pixels a side of the smallest images, where nobody looks at what they show."""


def encoded(image: Image.Image | np.ndarray, file_format: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file; ``options`` are the format's own."""
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(seed: int = 0, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    """A PNG of coloured noise, (width, height), another one for each seed."""
    return encoded(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def views_of(size: int | tuple[int, int], count: int = 4) -> np.ndarray:
    """Noise as the detector takes it, squares or of this height and width: [count, 3, H, W]."""
    shape = (size, size) if isinstance(size, int) else size
    return np.random.default_rng(0).integers(0, 256, (count, 3, *shape), np.uint8)


def mask(value: int = 255, size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    """A grey PNG, black but for a small square of ``value``."""
    image = Image.new("L", size)
    image.paste(value, (2, 2, 6, 6))
    return encoded(image)


def photo(number: int) -> bytes:
    """A PNG, 80 x 72, of a bright disc on a rough surface, never twice the same."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:72, :80]
    disc = np.hypot(y - 36 - rng.integers(-4, 5), x - 40 - rng.integers(-4, 5)) < 20
    grey = 90 + 80 * disc + rng.normal(0, 12, disc.shape)
    return encoded(np.stack([grey, grey * 0.9, grey * 0.8], axis=2).clip(0, 255).astype(np.uint8))

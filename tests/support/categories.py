"""A small sound category on disk, for tests to read or to spoil."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 16


def png(seed, size=(SIDE, SIDE)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels))


def mask(value=255, size=(SIDE, SIDE)):
    image = Image.new("L", size)
    image.paste(value, (2, 2, 6, 6))
    return encoded(image)


def encoded(image, file_format="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def put(root, name, data):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def sound_category(root: Path) -> Path:
    """Fill a folder: 12 train, 3 good and 2 + 2 defective test images with masks."""
    for i in range(12):
        put(root, f"train/good/{i:03}.png", png(i))
    for i in range(3):
        put(root, f"test/good/{i:03}.png", png(100 + i))
    for defect, base in (("dent", 200), ("scratch", 300)):
        for i in range(2):
            put(root, f"test/{defect}/{i:03}.png", png(base + i))
            put(root, f"ground_truth/{defect}/{i:03}_mask.png", mask())
    return root

"""The built-in demo category: a woven fabric with six kinds of defect, drawn, not photographed.

It needs no download and no licence, takes seconds, and has exact masks. Images depend on the seed
and on their own place only, so a smaller demo is a part of the larger one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gtrans_core.data.demo_defects import DEFECTS, defect_mask
from gtrans_core.data.demo_surface import good_surface, render
from gtrans_core.data.manifest import GOOD


def generate_demo(
    folder: Path,
    *,
    seed: int = 0,
    train: int = 120,
    test_good: int = 30,
    per_defect: int = 10,
    size: int = 256,
) -> None:
    """Write the demo category in the MVTec layout; the same arguments give the same bytes.

    Args:
        folder: the category's folder; made if missing.
        seed: of every image.
        train: good images to train on.
        test_good: good images to test on.
        per_defect: test images of each kind of defect, each with its mask.
        size: side of the images in pixels; a thread is always 11 pixels wide.
    """
    for index in range(train):
        surface = good_surface(_rng(seed, "train", GOOD, index), size)
        _write(folder / "train" / GOOD / f"{index:03}.png", render(surface))
    for index in range(test_good):
        surface = good_surface(_rng(seed, "test", GOOD, index), size)
        _write(folder / "test" / GOOD / f"{index:03}.png", render(surface))
    for name, defect in DEFECTS.items():
        for index in range(per_defect):
            rng = _rng(seed, "test", name, index)
            good = good_surface(rng, size)
            image = render(defect(good, rng))
            mask = defect_mask(render(good), image)
            _write(folder / "test" / name / f"{index:03}.png", image)
            _write(folder / "ground_truth" / name / f"{index:03}_mask.png", mask * np.uint8(255))


def _rng(seed: int, *place: str | int) -> np.random.Generator:
    """A stream of its own for every image."""
    key = [int.from_bytes(str(part).encode()) % 2**32 for part in place]
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)

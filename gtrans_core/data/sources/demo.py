"""The built-in demo category: a woven fabric with six kinds of defect, drawn, not photographed.

It needs no download and no licence, takes seconds, and has exact masks. Images depend on the seed
and on their own number only, so a smaller demo is a part of the larger one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from gtrans_core.data.manifest import GOOD
from gtrans_core.data.sources.demo_defects import DEFECTS, defect_mask
from gtrans_core.data.sources.demo_surface import good_surface, render

DEMO_VERSION = 1
"""Names the folder that a store keeps the demo in: raise it when the drawings change."""


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
    _write_good(folder, "train", train, seed, size)
    _write_good(folder, "test", test_good, seed, size)
    for name, defect in DEFECTS.items():
        for index in range(per_defect):
            rng = _rng(f"test/{name}", index, seed)
            good = good_surface(rng, size)
            image = render(defect(good, rng))
            mask = defect_mask(render(good), image)
            _write(folder / "test" / name / f"{index:03}.png", image)
            _write(folder / "ground_truth" / name / f"{index:03}_mask.png", mask * np.uint8(255))


def _write_good(folder: Path, split: str, count: int, seed: int, size: int) -> None:
    for index in range(count):
        surface = good_surface(_rng(f"{split}/{GOOD}", index, seed), size)
        _write(folder / split / GOOD / f"{index:03}.png", render(surface))


def _rng(kind: str, index: int, seed: int) -> np.random.Generator:
    """A stream of its own for every image."""
    key = (int.from_bytes(kind.encode("ascii")), index)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _write(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)  # noise hardly compresses

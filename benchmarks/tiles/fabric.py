"""The demo's fabric as a large part, with holes that are a few pixels wide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from gtrans_core.data.sources.demo_surface import Surface, good_surface, render

HOLE = 8
"""Diameter in pixels."""
_DARK = np.full(3, 0.08)


def draw_fabric(folder: Path, side: int, train: int, test: int) -> Path:
    """Write a category of square parts in MVTec layout, unless it is there; returns its folder.

    Args:
        folder: where categories are kept.
        side: of the images in pixels.
        train: good images to learn from.
        test: good images to test on, and as many with a hole.
    """
    category = folder / f"fabric_{side}"
    kinds = {"train/good": train, "test/good": test, "test/hole": test}
    for number, (kind, count) in enumerate(kinds.items()):
        for index in range(count):
            path = category / kind / f"{index:03}.png"
            if path.is_file():
                continue
            rng = np.random.default_rng([number, index])
            surface = good_surface(rng, side)
            if kind.endswith("hole"):
                surface = _with_hole(surface, rng, category / "ground_truth/hole" / path.name)
            _write(path, render(surface))
    return category


def _with_hole(surface: Surface, rng: np.random.Generator, mask: Path) -> Surface:
    side = len(surface.cover)
    row, column = rng.uniform(HOLE, side - HOLE, 2)
    y, x = np.mgrid[:side, :side]
    hole = np.hypot(y - row, x - column) <= HOLE / 2
    _write(mask, hole * np.uint8(255))
    return replace(surface, cover=hole.astype(float), cover_colour=_DARK)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=1)  # noise hardly compresses

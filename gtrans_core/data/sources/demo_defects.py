"""The demo's kinds of defect, each a change of the fields of a good surface.

A defect touches the fields only near itself, so the rest of the part renders the same to the last
bit. Contrasts are modest on purpose, next to what light, colour and single threads vary by on good
parts: features of a pretrained network tell the defects, those of a random one often do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import KDTree

from gtrans_core.data.sources.demo_surface import Field, ImageArray, Surface, smooth_noise

TOLERANCE = 4
"""Levels (of 255) by which a pixel must change to belong to the defect."""
GAP = 6
"""Radius in pixels (half a thread) of the gaps between changed pixels that a mask closes."""

MaskArray = npt.NDArray[np.bool_]
Steps = npt.NDArray[np.intp]
_REACH = 6.0  # pixels; no line is wider

Defect = Callable[[Surface, np.random.Generator], Surface]


def crack(surface: Surface, rng: np.random.Generator) -> Surface:
    """A jagged dark line, widest in the middle."""
    path = _path(surface, rng, rng.uniform(40, 80), turn=0.35)
    along = np.linspace(0, 1, len(path))
    distance, nearest, _ = _from_path(surface, path)
    width = 0.4 + 1.1 * np.sin(np.pi * along[nearest])
    depth = 0.8 * np.clip(width + 0.8 - distance, 0, 1)
    return _times(surface, 1 - depth)


def dent(surface: Surface, rng: np.random.Generator) -> Surface:
    """A shallow pit: one flank in the light, one in the shade, the weave drawn towards it."""
    y, x, radius = *_centre(surface, rng), rng.uniform(11, 18)
    dy, dx = _offsets(surface, y, x)
    pit = np.clip(1 - (dx**2 + dy**2) / (2.2 * radius) ** 2, 0, 1) ** 3
    lamp = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(lamp) * dx + np.sin(lamp) * dy) / radius * pit
    pulled = replace(
        surface,
        warp=surface.warp + 0.8 * dx / radius * pit,
        weft=surface.weft + 0.8 * dy / radius * pit,
    )
    return _times(pulled, 1 + 1.5 * slope)


def fibre(surface: Surface, rng: np.random.Generator) -> Surface:
    """A foreign hair that lies on the fabric."""
    path = _path(surface, rng, rng.uniform(45, 90), turn=0.12)
    distance, _, _ = _from_path(surface, path)
    opacity = 0.9 * np.clip(1.7 - distance, 0, 1)
    colour = np.array([0.62, 0.58, 0.50]) * rng.uniform(0.8, 1.15)
    return replace(surface, cover=opacity, cover_colour=colour)


def misweave(surface: Surface, rng: np.random.Generator) -> Surface:
    """A few threads woven the wrong way round: the same brightness, another pattern."""
    y, x = (int(value) for value in _centre(surface, rng))
    warp, weft = np.floor(surface.warp), np.floor(surface.weft)
    half_width, half_height = rng.uniform(1.5, 3, 2)
    inside = np.abs(warp - warp[y, x]) <= half_width
    inside &= np.abs(weft - weft[y, x]) <= half_height
    return replace(surface, diagonal=np.where(inside, -surface.diagonal, surface.diagonal))


def scratch(surface: Surface, rng: np.random.Generator) -> Surface:
    """A fine groove: one bright edge, one dark, of uneven depth."""
    path = _path(surface, rng, rng.uniform(50, 110), turn=0.02)
    distance, nearest, side = _from_path(surface, path)
    depth = rng.uniform(0.6, 1.0, len(path) // 8 + 2).repeat(8)[nearest]
    profile = side * np.clip(2.8 - distance, 0, 1) * np.clip(distance + 0.3, 0, 1)
    return _times(surface, 1 + 0.9 * depth * profile)


def stain(surface: Surface, rng: np.random.Generator) -> Surface:
    """A spot where something was spilt: slightly darker and browner, with an uneven outline."""
    size = len(surface.light)
    dy, dx = _offsets(surface, *_centre(surface, rng))
    outline = np.hypot(dx, dy) / rng.uniform(14, 24) + smooth_noise(rng, size, 12.0, 0.18)
    amount = np.clip((1.15 - outline) / 0.3, 0, 1)
    return _times(surface, 1 - amount[:, :, np.newaxis] * np.array([0.22, 0.31, 0.44]))


DEFECTS: dict[str, Defect] = {
    "crack": crack,
    "dent": dent,
    "fibre": fibre,
    "misweave": misweave,
    "scratch": scratch,
    "stain": stain,
}


def defect_mask(good: ImageArray, defective: ImageArray) -> MaskArray:
    """Where a defect shows: pixels that differ, and the narrow gaps between them.

    Args:
        good: uint8 [H, W, 3], the part without its defect.
        defective: uint8 [H, W, 3], the same part with it.

    Returns:
        bool [H, W].
    """
    difference = np.abs(defective.astype(int) - good).max(axis=2)
    disc = np.hypot(*np.mgrid[-GAP : GAP + 1, -GAP : GAP + 1]) <= GAP
    padded = np.pad(difference > TOLERANCE, GAP)
    return ndimage.binary_closing(padded, disc)[GAP:-GAP, GAP:-GAP]


def _times(surface: Surface, factor: Field) -> Surface:
    factor = factor if factor.ndim == 3 else factor[:, :, np.newaxis]
    return replace(surface, light=surface.light * factor)


def _centre(surface: Surface, rng: np.random.Generator) -> tuple[float, float]:
    size = len(surface.light)
    y, x = rng.uniform(0.15 * size, 0.85 * size, 2)
    return float(y), float(x)


def _offsets(surface: Surface, y: float, x: float) -> tuple[Field, Field]:
    pixels: Field = np.indices(surface.cover.shape, dtype=np.float64)
    return pixels[0] - y, pixels[1] - x


def _path(surface: Surface, rng: np.random.Generator, length: float, turn: float) -> Field:
    """[steps, 2] points (y, x), half a pixel apart, of a line through the image's middle part.

    ``turn`` is the sd of the change of direction, in radians, every four pixels.
    """
    steps = int(2 * length)
    turns = rng.normal(0.0, turn, steps // 8 + 1).repeat(8)[:steps]
    headings = rng.uniform(0, 2 * np.pi) + np.cumsum(turns) / 8
    line = 0.5 * np.cumsum(np.stack([np.sin(headings), np.cos(headings)], axis=1), axis=0)
    centred: Field = line - line.mean(axis=0) + _centre(surface, rng)
    return centred


def _from_path(surface: Surface, path: Field) -> tuple[Field, Steps, Field]:
    """For every pixel: its distance to a path, the nearest step, the side (-1 or 1) it lies on.

    Beyond _REACH pixels the distance is infinite and the rest without meaning.
    """
    shape = surface.cover.shape
    pixels = np.indices(shape).reshape(2, -1).T
    found = KDTree(path).query(pixels, distance_upper_bound=_REACH)
    distance = np.asarray(found[0])
    nearest = np.minimum(found[1], len(path) - 1)
    offset = pixels - path[nearest]
    heading = np.gradient(path, axis=0)[nearest]
    side = np.sign(heading[:, 0] * offset[:, 1] - heading[:, 1] * offset[:, 0])
    return distance.reshape(shape), nearest.reshape(shape), side.reshape(shape)

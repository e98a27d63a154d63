"""The demo's good part: a sheet of twill-woven fabric under an industrial camera.

A surface is a set of fields over the image, drawn at random within what is normal: the weave's
rotation, scale, shift and stretch, each thread's brightness, streaks of single fibres, uneven
light, colour drift, sensor noise. Rendering is a pure function of them, so that a defect is a
change of fields and its mask is where the two renderings differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Field = npt.NDArray[np.float64]
ImageArray = npt.NDArray[np.uint8]

THREAD_PIXELS = 11.0
"""Width of a thread."""
_THREADS = 128  # brightnesses are drawn for this many threads, then repeat
_WARP_COLOUR = np.array([0.50, 0.56, 0.62])
_WEFT_COLOUR = np.array([0.40, 0.45, 0.53])


@dataclass(frozen=True)
class Surface:
    """All that decides the picture of one part; H x W is the image's size."""

    warp: Field
    """[H, W] position across the vertical threads, in threads."""
    weft: Field
    """[H, W] position across the horizontal threads, in threads."""
    diagonal: Field
    """[H, W] direction of the twill: 1, or -1 where it is woven the wrong way round."""
    warp_brightness: Field
    """[threads] of each vertical thread, around 1."""
    weft_brightness: Field
    """[threads] of each horizontal thread, around 1."""
    warp_streaks: Field
    """[H, W] single fibres along the vertical threads, around 1."""
    weft_streaks: Field
    """[H, W] single fibres along the horizontal threads, around 1."""
    light: Field
    """[H, W, 3] illumination and colour that the fabric is multiplied with, around 1."""
    cover: Field
    """[H, W] opacity, 0..1, of what lies on the fabric."""
    cover_colour: Field
    """[3] its colour, 0..1."""
    noise: Field
    """[H, W, 3] sensor noise, in the image's unit (0..1)."""


def good_surface(rng: np.random.Generator, size: int) -> Surface:
    """Draw a good part of ``size`` x ``size`` pixels."""
    angle = np.deg2rad(rng.normal(0.0, 2.5))
    scale = THREAD_PIXELS * np.exp(rng.normal(0.0, 0.03))
    y, x = np.mgrid[:size, :size] - size / 2
    x, y = x + smooth_noise(rng, size, 40.0, 1.2), y + smooth_noise(rng, size, 40.0, 1.2)
    warp = (np.cos(angle) * x - np.sin(angle) * y) / scale + rng.uniform(0, 4)
    weft = (np.sin(angle) * x + np.cos(angle) * y) / scale + rng.uniform(0, 4)
    return Surface(
        warp=warp,
        weft=weft,
        diagonal=np.ones((size, size)),
        warp_brightness=rng.normal(1.0, 0.045, _THREADS),
        weft_brightness=rng.normal(1.0, 0.045, _THREADS),
        warp_streaks=1 + _streaks(rng, size, (5.0, 0.6)),
        weft_streaks=1 + _streaks(rng, size, (0.6, 5.0)),
        light=_light(rng, size),
        cover=np.zeros((size, size)),
        cover_colour=np.zeros(3),
        noise=rng.normal(0.0, 0.012, (size, size, 3)),
    )


def render(surface: Surface) -> ImageArray:
    """The camera's picture of a surface: uint8 [H, W, 3]."""
    fabric = _fabric(surface) * surface.light
    cover = surface.cover[:, :, np.newaxis]
    scene = fabric * (1 - cover) + surface.cover_colour * cover
    seen = ndimage.gaussian_filter(scene, (0.6, 0.6, 0)) + surface.noise
    return np.round(np.clip(seen, 0, 1) * 255).astype(np.uint8)


def smooth_noise(rng: np.random.Generator, size: int, scale: float, amplitude: float) -> Field:
    """[size, size] Gaussian random field that varies over ``scale`` pixels, of sd ``amplitude``."""
    cells = np.arange(-2, size / scale + 2)
    distance = np.arange(size)[:, np.newaxis] / scale - cells
    kernel = np.exp(-(distance**2) / 0.5)
    kernel /= np.linalg.norm(kernel, axis=1, keepdims=True)  # so that the variance is that of white
    coarse = rng.normal(0.0, amplitude, (cells.size, cells.size))
    # Not BLAS, whose sums depend on the number of threads: the same seed gives the same bytes.
    field: Field = np.einsum("ia,aj->ij", kernel, np.einsum("ab,jb->aj", coarse, kernel))
    return field


def _fabric(surface: Surface) -> Field:
    """[H, W, 3] the 2/2 twill: each thread floats over two, then dives under two."""
    i, j = np.floor(surface.warp), np.floor(surface.weft)
    across_warp, across_weft = surface.warp - i, surface.weft - j
    phase = np.mod(surface.diagonal * i + j, 4)
    weft_phase = np.where(surface.diagonal > 0, phase - 2, 3 - phase)
    warp_shade = _float_shade(across_warp, (phase + across_weft) / 2, 0.10)
    weft_shade = _float_shade(across_weft, (weft_phase + across_warp) / 2, -0.06)
    warp_shade *= surface.warp_streaks * surface.warp_brightness[i.astype(int) % _THREADS]
    weft_shade *= surface.weft_streaks * surface.weft_brightness[j.astype(int) % _THREADS]
    fabric: Field = np.where(
        (phase < 2)[:, :, np.newaxis],
        warp_shade[:, :, np.newaxis] * _WARP_COLOUR,
        weft_shade[:, :, np.newaxis] * _WEFT_COLOUR,
    )
    return fabric


def _float_shade(across: Field, along: Field, tilt: float) -> Field:
    """Brightness of a thread that arches out of the fabric.

    Args:
        across: 0..1 over the thread's width.
        along: 0..1 over the length that lies on top.
        tilt: how much brighter the side that faces the lamp is.
    """
    profile: Field = np.sqrt(np.clip(1 - (1.9 * (across - 0.5)) ** 2, 0.04, 1))
    arch: Field = 0.6 + 0.4 * np.sin(np.pi * along)
    slope: Field = np.cos(np.pi * along)
    return profile * arch + tilt * slope


def _streaks(rng: np.random.Generator, size: int, sigma: tuple[float, float]) -> Field:
    noise: Field = ndimage.gaussian_filter(rng.normal(size=(size, size)), sigma, mode="wrap")
    return 0.07 * noise / float(noise.std())


def _light(rng: np.random.Generator, size: int) -> Field:
    y, x = np.mgrid[:size, :size] / size - 0.5
    gradient = rng.normal(0.0, 0.12) * x + rng.normal(0.0, 0.12) * y
    vignette = -rng.uniform(0.0, 0.25) * (x**2 + y**2)
    cloud = smooth_noise(rng, size, size / 2.5, 0.03)
    colour: Field = np.exp(rng.normal(0.0, 0.05) + rng.normal(0.0, 0.02, 3))
    brightness: Field = 1 + gradient + vignette + cloud
    return brightness[:, :, np.newaxis] * colour

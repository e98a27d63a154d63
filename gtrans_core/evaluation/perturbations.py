"""Changes of light, sharpness and position, made to what is left of an image after the resize.

After the resize, since that is what the network sees: an image is decoded once, and "5 %" means the
same for a camera of any size. Each one is uint8 [3, H, W] in and out.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image
from scipy import ndimage

from gtrans_core.data.view import View, brightness, levels, mean_grey

Group = Literal["light", "sharpness", "position"]

JPEG_QUALITY = 60
NOISE_LEVELS = 5.0
"""Standard deviation of the noise, in grey levels."""
BLUR_PIXELS = 1.0
"""Standard deviation of the blur, in pixels of the view."""
_WARMER = (1.1, 1.0, 0.9)


@dataclass(frozen=True)
class Perturbation:
    """One change: its name in plain words, its kind, and what makes it."""

    name: str
    group: Group
    make: Callable[[View, np.random.Generator], View]


def contrast(view_3HW: View, factor: float) -> View:
    """Every pixel's distance from the image's mean grey times a factor."""
    grey = mean_grey(view_3HW)
    return levels(grey + (view_3HW - grey) * factor)


def gamma(view_3HW: View, exponent: float) -> View:
    """Every pixel, from 0 to 1, to a power: below 1 it is lighter."""
    return levels(255 * (view_3HW / 255) ** exponent)


def white_balance(view_3HW: View, gains: tuple[float, float, float]) -> View:
    """Red, green and blue times a gain each. An image without colour has none, and stays."""
    if (view_3HW == view_3HW[:1]).all():
        return view_3HW
    return levels(view_3HW * np.array(gains)[:, None, None])


def blur(view_3HW: View, sigma: float) -> View:
    """Out of focus: a Gaussian of this many pixels."""
    return levels(ndimage.gaussian_filter(view_3HW.astype(np.float64), (0, sigma, sigma)))


def noise(view_3HW: View, sigma: float, generator: np.random.Generator) -> View:
    """Gaussian noise of this many grey levels, drawn for each value."""
    return levels(view_3HW + generator.normal(0, sigma, view_3HW.shape))


def jpeg(view_3HW: View, quality: int) -> View:
    """Saved as a JPEG of this quality, and read again."""
    file = io.BytesIO()
    Image.fromarray(view_3HW.transpose(1, 2, 0)).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


def shift(view_3HW: View, share: float) -> View:
    """Moved right and down by a share of width and height; the border is mirrored."""
    height, width = view_3HW.shape[1:]
    down, right = (max(1, round(share * side)) for side in (height, width))
    padded = np.pad(view_3HW, ((0, 0), (down, 0), (right, 0)), mode="symmetric")
    return np.ascontiguousarray(padded[:, :height, :width])


def rotation(view_3HW: View, degrees: float) -> View:
    """Turned counterclockwise about its middle; the border is mirrored."""
    turned = ndimage.rotate(
        view_3HW.astype(np.float64), degrees, axes=(2, 1), reshape=False, order=1, mode="reflect"
    )
    return levels(turned)


def _scaled(
    group: Group, how: Callable[[View, float], View], named: dict[str, float]
) -> tuple[Perturbation, ...]:
    def by(value: float) -> Callable[[View, np.random.Generator], View]:
        return lambda view, _: how(view, value)

    return tuple(Perturbation(name, group, by(value)) for name, value in named.items())


PERTURBATIONS = (
    *_scaled(
        "light",
        brightness,
        {
            "25 % darker": 0.75,
            "10 % darker": 0.9,
            "10 % brighter": 1.1,
            "25 % brighter": 1.25,
        },
    ),
    *_scaled(
        "light",
        contrast,
        {
            "25 % less contrast": 0.75,
            "10 % less contrast": 0.9,
            "10 % more contrast": 1.1,
            "25 % more contrast": 1.25,
        },
    ),
    *_scaled("light", gamma, {"lighter midtones (gamma 0.8)": 0.8, "darker midtones (1.25)": 1.25}),
    Perturbation("warmer light", "light", lambda view, _: white_balance(view, _WARMER)),
    Perturbation("colder light", "light", lambda view, _: white_balance(view, _WARMER[::-1])),
    *_scaled("sharpness", blur, {"blurred": BLUR_PIXELS}),
    Perturbation("noisy", "sharpness", lambda view, drawn: noise(view, NOISE_LEVELS, drawn)),
    Perturbation("JPEG, quality 60", "sharpness", lambda view, _: jpeg(view, JPEG_QUALITY)),
    *_scaled("position", shift, {"moved by 2 %": 0.02, "moved by 5 %": 0.05}),
    *_scaled("position", rotation, {"turned by 2 degrees": 2.0}),
)
"""All that evaluate tries, in the order of its report."""

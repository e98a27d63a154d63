"""Each change against its formula, by Pillow or in plain numpy."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from gtrans_core.evaluation import perturbations as made
from gtrans_core.evaluation.perturbations import PERTURBATIONS, View

HEIGHT, WIDTH = 40, 60


@pytest.fixture(scope="module")
def view() -> View:
    """A smooth picture in colour, with a dark and a light corner."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([4 * x + y, 5 * y, 255 - 3 * x - y]).clip(0, 255).astype(np.uint8)


def pillow(view: View) -> Image.Image:
    return Image.fromarray(view.transpose(1, 2, 0))


def back(image: Image.Image) -> np.ndarray:
    return np.asarray(image).transpose(2, 0, 1).astype(int)


def draws(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("factor", [0.75, 0.9, 1.1, 1.25])
def test_brightness_and_contrast_are_pillows(view: View, factor: float) -> None:
    brighter = back(ImageEnhance.Brightness(pillow(view)).enhance(factor))
    assert abs(made.brightness(view, factor) - brighter).max() <= 1  # Pillow cuts, this rounds
    harder = back(ImageEnhance.Contrast(pillow(view)).enhance(factor))
    assert abs(made.contrast(view, factor) - harder).max() <= 1


def test_gamma_is_a_table_of_256_values(view: View) -> None:
    table = [round(255 * (value / 255) ** 0.8) for value in range(256)]
    assert (made.gamma(view, 0.8) == back(pillow(view).point(table * 3))).all()
    assert made.gamma(view, 0.8).mean() > view.mean() > made.gamma(view, 1.25).mean()


def test_white_balance_is_a_gain_a_channel_and_leaves_grey_images_alone(view: View) -> None:
    red, green, blue = made.white_balance(view, (1.1, 1.0, 0.9))
    assert red[20, 20] == round(1.1 * int(view[0, 20, 20]))
    assert (green == view[1]).all()
    assert blue[20, 20] == round(0.9 * int(view[2, 20, 20]))
    grey = np.repeat(view[:1], 3, axis=0)
    assert (made.white_balance(grey, (1.1, 1.0, 0.9)) == grey).all()


def test_blur_is_a_gaussian() -> None:
    point = np.zeros((3, 21, 21), np.uint8)
    point[:, 10, 10] = 255
    across = np.exp(-(np.arange(-10, 11) ** 2) / 2)
    bell = 255 * np.outer(across, across) / across.sum() ** 2
    assert abs(made.blur(point, 1.0)[1] - bell).max() <= 1


def test_noise_has_its_spread_and_is_its_seeds(view: View) -> None:
    grey = np.full((3, 200, 200), 128, np.uint8)
    found = made.noise(grey, 5.0, draws()).astype(float) - 128
    assert abs(found.mean()) < 0.1
    assert found.std() == pytest.approx(5.0, abs=0.1)
    assert (made.noise(view, 5.0, draws()) == made.noise(view, 5.0, draws())).all()
    assert (made.noise(view, 5.0, draws()) != made.noise(view, 5.0, draws(1))).any()


def test_jpeg_is_the_file_of_that_quality(view: View) -> None:
    file = io.BytesIO()
    pillow(view).save(file, "JPEG", quality=60)
    assert (made.jpeg(view, 60) == back(Image.open(file))).all()
    assert (made.jpeg(view, 60) != view).any()


def test_shift_moves_whole_pixels_and_mirrors_the_border(view: View) -> None:
    moved = made.shift(view, 0.05)
    assert (moved[:, 2:, 3:] == view[:, :-2, :-3]).all()
    assert (moved[:, 1, 3:] == view[:, 0, :-3]).all()
    assert (moved[:, 0, 3:] == view[:, 1, :-3]).all()
    assert (made.shift(view, 0.001)[:, 1:, 1:] == view[:, :-1, :-1]).all()  # at least a pixel


def test_rotation_is_pillows_away_from_the_border(view: View) -> None:
    turned = back(pillow(view).rotate(2, Image.Resampling.BILINEAR))
    inner = np.s_[:, 4:-4, 4:-4]
    assert abs(made.rotation(view, 2)[inner] - turned[inner]).max() <= 2


@pytest.mark.parametrize("change", PERTURBATIONS, ids=lambda change: change.name)
def test_each_one_keeps_shape_and_type_changes_something_and_repeats(
    view: View, change: made.Perturbation
) -> None:
    before = view.copy()
    first, second = change.make(view, draws()), change.make(view, draws())
    assert first.shape == view.shape
    assert first.dtype == np.uint8
    assert first.flags.c_contiguous
    assert (first == second).all()
    assert (first != view).any()
    assert (view == before).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("25 % darker", lambda view: made.brightness(view, 0.75)),
        ("10 % more contrast", lambda view: made.contrast(view, 1.1)),
        ("warmer light", lambda view: made.white_balance(view, (1.1, 1.0, 0.9))),
        ("colder light", lambda view: made.white_balance(view, (0.9, 1.0, 1.1))),
        ("moved by 5 %", lambda view: made.shift(view, 0.05)),
    ],
)
def test_a_name_says_what_is_done(view: View, name: str, expected: Callable[[View], View]) -> None:
    [change] = [one for one in PERTURBATIONS if one.name == name]
    assert (change.make(view, draws()) == expected(view)).all()

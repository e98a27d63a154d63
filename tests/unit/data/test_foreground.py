"""Where parts lie, found by the background's colour, and what then is left out everywhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.config.region import PACKED, region_of
from gtrans_core.data.foreground import SIDE, foreground
from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import Manifest
from gtrans_core.errors import DataError

Y, X = np.mgrid[:SIDE, :SIDE]


def picture(marks: np.ndarray, seed: int = 0, light: float = 1.0) -> np.ndarray:
    """A red part on a green background that is uneven, with noise; [3, SIDE, SIDE]."""
    rng = np.random.default_rng(seed)
    background = np.array([60, 120, 70])[:, None, None] * (1 + 0.1 * X / SIDE)
    part = np.array([170, 60, 50])[:, None, None]
    pixels = np.where(marks, part, background) * light + rng.normal(0, 4, (3, SIDE, SIDE))
    return pixels.clip(0, 255).astype(np.uint8)


def disc(row: float, column: float, radius: float = 25) -> np.ndarray:
    return np.hypot(Y - row, X - column) <= radius


def region(pictures: list[np.ndarray]) -> np.ndarray:
    packed, share = foreground((f"{i}.png", pixels) for i, pixels in enumerate(pictures))
    found = region_of(packed, (SIDE, SIDE))
    assert share == pytest.approx(found.mean())
    return found


@pytest.mark.parametrize("light", [0.6, 1.0, 1.4])
def test_the_part_is_found_in_any_light_with_a_margin_and_no_more(light: float) -> None:
    found = region([picture(disc(64, 60), i, light) for i in range(5)])
    assert found[disc(64, 60, 27)].all()
    assert not found[~disc(64, 60, 31)].any()


def test_a_part_that_moves_is_in_it_wherever_it_was_seen() -> None:
    places = [(40, 40), (70, 50), (80, 85)]
    found = region([picture(disc(*place), i) for i, place in enumerate(places)])
    assert all(found[disc(*place)].all() for place in places)
    assert not found[:10].any()


def test_holes_are_in_it_and_dust_in_one_of_many_pictures_is_not() -> None:
    ring = disc(64, 64) & ~disc(64, 64, 10)
    pictures = [picture(ring, i) for i in range(60)]
    pictures[0] = picture(ring | disc(10, 10, 4), 0)
    found = region(pictures)
    assert found[disc(64, 64)].all()
    assert not found[:20, :20].any()


@pytest.mark.parametrize(
    ("marks", "words"),
    [
        ([disc(64, 64), np.zeros((SIDE, SIDE), bool)], r"in 1 of 2 good images, such as 1\.png"),
        ([np.pad(np.ones((120, 120), bool), 4)] * 2, "so nothing is left out"),
    ],
    ids=["nothing", "everything"],
)
def test_where_that_tells_nothing_it_is_refused(marks: list[np.ndarray], words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        region([picture(one, i) for i, one in enumerate(marks)])
    assert "image.region = foreground" in str(caught.value)
    assert "mask or corners" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_ingest_settles_it_and_the_config_then_holds_the_mask(tmp_path: Path) -> None:
    for number in range(6):
        pixels = picture(disc(64, 60), number).transpose(1, 2, 0)
        (tmp_path / "train/good").mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((300, 200)).save(tmp_path / f"train/good/{number}.png")
    asked = GTransConfig.from_json(load_config(overrides=["image.region=foreground"]).to_json())
    notes: list[str] = []
    train, test = scan_category(tmp_path, "part", "here", None, asked.image, notes.append)
    assert "16 % of the picture is judged" in " ".join(notes)
    train.write(tmp_path / "train.json")
    image = Manifest.read(tmp_path / "train.json").settled(asked).image
    assert str(image.region).startswith(PACKED)
    inside = image.inside
    assert inside is not None
    assert 0.14 < inside.mean() < 0.2
    assert asked.image.region == "foreground"
    with pytest.raises(DataError, match="ingest did not look"):
        test.settled(asked)
    plain, _ = scan_category(tmp_path, "part", "here")
    assert plain.region is None

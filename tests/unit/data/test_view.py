"""Exposure made even: the same picture in more or less light is seen alike."""

from __future__ import annotations

import numpy as np
import pytest

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_view, encode_png
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.view import EVEN_GREY, MOST_GAIN, as_seen, mean_grey
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.network.backbone import BackboneSpec

EVEN, AS_TAKEN = ImageConfig(size=64, exposure="even"), ImageConfig(size=64)
SPEC = BackboneSpec("any", (8, 16, 32), (1, 1, 1), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 180, (3, 64, 64), np.uint8)


def in_light(picture: np.ndarray, factor: float) -> np.ndarray:
    return np.rint(picture * factor).astype(np.uint8)


def test_the_mean_grey_is_pillows_of_a_grey_picture() -> None:
    assert mean_grey(np.full((3, 4, 4), 77, np.uint8)) == pytest.approx(77)
    red = np.zeros((3, 4, 4), np.uint8)
    red[0] = 100
    assert mean_grey(red) == pytest.approx(29.9)


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.0, 1.25])
def test_more_or_less_light_is_seen_alike(picture: np.ndarray, factor: float) -> None:
    seen = as_seen(in_light(picture, factor), EVEN)
    expected = np.rint(picture * (EVEN_GREY / mean_grey(picture)))
    assert abs(seen.astype(float) - expected).max() <= 2  # a grey level of darker pictures is more
    assert mean_grey(seen) == pytest.approx(EVEN_GREY, abs=1)


def test_as_taken_nothing_is_changed(picture: np.ndarray) -> None:
    assert as_seen(picture, AS_TAKEN) is picture


def test_black_stays_dark_and_white_does_not_overflow() -> None:
    assert not as_seen(np.zeros((3, 64, 64), np.uint8), EVEN).any()
    night = np.full((3, 64, 64), 5, np.uint8)
    assert as_seen(night, EVEN).max() == 5 * MOST_GAIN
    lamp = np.zeros((3, 64, 64), np.uint8)
    lamp[:, :8] = 255
    assert as_seen(lamp, EVEN).max() == 255


def test_files_are_read_so_and_the_region_is_cut_out_afterwards(picture: np.ndarray) -> None:
    data = encode_png(np.ascontiguousarray(picture.transpose(1, 2, 0)))
    assert mean_grey(decode_view(data, "a", EVEN)) == pytest.approx(EVEN_GREY, abs=1)
    corners = ((0, 0), (0.5, 0), (0.5, 1), (0, 1))
    left = decode_view(data, "a", EVEN.model_copy(update={"region": corners}))
    assert (left[:, :, :32] == decode_view(data, "a", EVEN)[:, :, :32]).all()
    assert not left[:, :, 32:].any()


def test_only_what_changes_pixels_is_another_cache() -> None:
    manifest = Manifest(category="part", source="here", split="train", root="/", samples=())
    keys = [cache_identity(manifest, SPEC, "0" * 64, image).key for image in (AS_TAKEN, EVEN)]
    assert keys[0] != keys[1]
    stored = cache_identity(manifest, SPEC, "0" * 64, AS_TAKEN).model_dump(mode="json")
    del stored["image"]["exposure"]
    assert (
        type(cache_identity(manifest, SPEC, "0" * 64, AS_TAKEN)).model_validate(stored).key
        == keys[0]
    )

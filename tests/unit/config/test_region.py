"""A region of interest: outside it nothing is learnt, scored, flagged or counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import GTransConfig, ImageConfig, load_config
from gtrans_core.config.region import PACKED
from gtrans_core.data.images import decode_view, encode_png
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.mask_view import preprocess_mask
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.errors import ConfigError
from gtrans_core.evaluation.metrics import au_pro, pixel_metrics
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.network.backbone import BackboneSpec
from tests.support.detectors import make_scorer
from tests.support.images import views_of
from tests.support.tiny import tiny_config

LEFT_HALF = "image.region=[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]"
SPEC = BackboneSpec("any", (8, 16, 32), (1, 1, 1), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """The left half, of 600 x 300 pixels."""
    marks = np.zeros((300, 600), np.uint8)
    marks[:, :300] = 255
    Image.fromarray(marks).save(tmp_path / "roi.png")
    return tmp_path / "roi.png"


def test_a_file_and_a_polygon_mark_the_same_and_go_with_the_config(mask: Path) -> None:
    toml = mask.parent / "mine.toml"
    toml.write_text('[image]\nsize = 64\nregion = "roi.png"\n')
    of_file = load_config(toml)
    assert of_file == load_config(overrides=["image.size=64", f"image.region={mask}"])
    mask.unlink()
    for config in (of_file, load_config(overrides=["image.size=64", LEFT_HALF])):
        inside = GTransConfig.from_json(config.to_json()).image.inside
        assert inside is not None
        assert inside[:, :32].all()
        assert not inside[:, 33:].any()
    assert str(of_file.image.region).startswith(PACKED)
    assert len(json.dumps(of_file.image.region)) < 1000


@pytest.mark.parametrize(
    ("region", "words"),
    [
        ("nowhere.png", "no mask that can be read"),
        ("mask:????", "not a packed mask"),
        ("[[0, 0], [1, 1]]", "three or more corners"),
        ("[[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]", "nothing of the image"),
        ("[[0.1, 0.1], [0.3, 0.3], [0.9, 0.9]]", "corners lie on one line"),
        ("[[0, 0], [2, 0], [1, 1]]", "in shares from 0 to 1"),
    ],
)
def test_what_is_no_region_is_refused_by_name(region: str, words: str) -> None:
    with pytest.raises(ConfigError, match=r"image\.region") as caught:
        load_config(overrides=[f"image.region={region}"])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_or_too_intricate_mask_is_refused(tmp_path: Path) -> None:
    Image.new("L", (64, 64)).save(tmp_path / "black.png")
    noise = np.random.default_rng(0).integers(0, 2, (256, 256), np.uint8) * np.uint8(255)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    for name, words in (("black.png", "nothing of the image"), ("noise.png", "too intricate")):
        with pytest.raises(ConfigError, match=words):
            load_config(overrides=[f"image.region={tmp_path / name}"])


def test_what_is_transparent_is_not_looked_at(tmp_path: Path) -> None:
    """An editor's eraser leaves white pixels that nobody sees."""
    marks = np.full((100, 100, 4), 255, np.uint8)
    marks[:, 50:, 3] = 0
    Image.fromarray(marks).save(tmp_path / "erased.png")
    region = f"image.region={tmp_path / 'erased.png'}"
    inside = load_config(overrides=["image.size=64", region]).image.inside
    assert inside is not None
    assert inside[:, :31].all()
    assert not inside[:, 33:].any()


def test_a_region_that_a_crop_leaves_nothing_of_is_refused() -> None:
    corner = "image.region=[[0, 0], [0.1, 0], [0.1, 0.1], [0, 0.1]]"
    assert load_config(overrides=[corner]).image.inside is not None
    with pytest.raises(ConfigError, match="nothing of region is in the crop"):
        load_config(overrides=[corner, "image.crop=128"])


def test_what_lies_outside_reaches_neither_network_nor_ground_truth() -> None:
    image = load_config(overrides=["image.size=64", LEFT_HALF]).image
    white = np.full((100, 100, 3), 255, np.uint8)
    view = decode_view(encode_png(white), "white", image)
    assert view[:, :, :32].all()
    assert not view[:, :, 33:].any()
    marked = preprocess_mask(np.ones((100, 100), np.bool_), image)
    assert np.array_equal(marked, image.inside)


def test_another_region_is_another_cache() -> None:
    manifest = Manifest(category="part", source="here", split="train", root="/", samples=())
    with_region = load_config(overrides=["image.size=64", LEFT_HALF]).image
    whole, part = (
        cache_identity(manifest, SPEC, "0" * 64, image).key
        for image in (ImageConfig(size=64), with_region)
    )
    assert whole != part


@pytest.mark.parametrize("tiles", ["image.tiles=[1, 1]", "image.tiles=[1, 2]"])
def test_nothing_outside_changes_a_score_or_is_hot_in_torch_or_onnx(tiles: str) -> None:
    """The graph needs no view that is black outside: other programs may use it."""
    config = tiny_config(LEFT_HALF, tiles, "image.overlap=16")
    scorer = make_scorer(config)
    [view, other] = views_of(config.image.view_shape, 2)
    inside = config.image.inside
    assert inside is not None
    mixed = np.where(inside, view, other)
    heat_map, score = scorer.score_view(view)
    assert heat_map[inside].min() > 0
    assert not heat_map[~inside].any()
    engine = OnnxEngine(export_onnx(scorer, config.image.view_shape))
    assert scorer.score_view(mixed)[1] == score
    assert engine.score_view(mixed)[1] == pytest.approx(score, rel=1e-4)
    pixels = config.image.scored_pixels
    assert pixels == min(64 * 64, inside.sum())


def test_only_what_is_inside_is_counted() -> None:
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 16, 16), np.bool_)
    masks[:3, 4:7, 2:5] = True
    maps = rng.random((6, 16, 16)).astype(np.float32)
    counted = np.zeros((16, 16), np.bool_)
    counted[:, :8] = True
    inside = np.ascontiguousarray(masks[:, :, :8]), np.ascontiguousarray(maps[:, :, :8])
    assert pixel_metrics(masks, maps, counted) == pixel_metrics(*inside)
    assert au_pro(masks, maps, 0.3, counted) == au_pro(*inside)

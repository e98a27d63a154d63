"""AU-sPRO against its definition, threshold by threshold, and on a stand-in of MVTec LOCO AD."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from gtrans_core.config import load_config
from gtrans_core.data.images import encode_png
from gtrans_core.data.layout import scan_category
from gtrans_core.evaluation.defect_result import DefectResult, mean_saturated
from gtrans_core.evaluation.evaluation import defect_results, score_split
from gtrans_core.evaluation.metrics import au_pro, au_spro

SIDE = 64


def by_definition(good: list, regions: list, limit: float) -> float:
    """Of good scores, and of (scores, s) of each region: the mean of min(n / s, 1) up to a rate."""
    points = [(0.0, 0.0)]
    for threshold in sorted({*good, *(v for scores, _ in regions for v in scores)}, reverse=True):
        found = [min(sum(v >= threshold for v in scores) / s, 1) for scores, s in regions]
        rate = sum(v >= threshold for v in good) / len(good)
        points.append((rate, sum(found) / len(found)))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(points):
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
        if x1 == limit:
            break
    return area / limit


@pytest.mark.parametrize("seed", range(8))
def test_it_is_its_definition(seed: int):
    """Ties, overlapping regions, and regions of which a fraction of a pixel is enough."""
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 8, (3, 7, 9)).astype(np.float32)
    covers = rng.random((3, 2, 7, 9)) < 0.15
    covers[2] = False
    shares = rng.uniform(0.01, 1, (3, 2))
    regions = [
        list(zip(own, share, strict=True)) for own, share in zip(covers, shares, strict=True)
    ]
    masks = covers.any(axis=1)
    listed = [
        (maps[i][cover].tolist(), share * cover.sum())
        for i in range(2)
        for cover, share in regions[i]
    ]
    found = au_spro(masks, maps, regions)
    for name, limit in (("au_spro_30", 0.3), ("au_spro_05", 0.05)):
        expected = by_definition(maps[~masks].tolist(), listed, limit)
        assert found[name] == pytest.approx(expected, abs=1e-12)


def test_where_all_of_a_region_is_wanted_it_is_au_pro():
    rng = np.random.default_rng(9)
    maps = rng.random((2, 8, 8)).astype(np.float32)
    cover = np.zeros((8, 8), bool)
    cover[2:5, 3:6] = True
    masks = np.stack([cover, np.zeros_like(cover)])
    found = au_spro(masks, maps, [[(cover, 1.0)], []])
    assert found["au_spro_30"] == pytest.approx(au_pro(masks, maps, 0.3), abs=1e-12)
    assert found["au_spro_05"] == pytest.approx(au_pro(masks, maps, 0.05), abs=1e-12)


def test_a_region_that_a_crop_hides_counts_for_nothing():
    cover = np.zeros((4, 4), bool)
    mask, maps = cover.copy()[None], np.zeros((1, 4, 4))
    mask[0, 0, 0] = True
    assert au_spro(mask, maps, [[(cover, 0.5)]]) == {}


def test_a_split_has_the_mean_of_its_kinds():
    kinds = [
        DefectResult(k, 1, 1, 1.0, 0.9, a, b) for k, a, b in (("x", 0.6, 0.2), ("y", 0.8, 0.4))
    ]
    found = mean_saturated([*kinds, DefectResult("z", 1, 1, 1.0, None)])
    assert found == pytest.approx({"au_spro_30": 0.7, "au_spro_05": 0.3})
    assert mean_saturated([DefectResult("z", 1, 1, 1.0, 0.5)]) == {}


class Brightness:
    """Scores an image by its pixels, and needs no network."""

    def score_view(self, view_3HW: np.ndarray) -> tuple[np.ndarray, float]:
        heat = view_3HW[0].astype(np.float32) / 255
        return heat, float(heat.max())


@pytest.fixture
def loco(tmp_path: Path) -> Path:
    """A logical defect of which 50 pixels are marked, as many as needed, and a structural one."""
    rng = np.random.default_rng(0)

    def save(name: str, pixels: np.ndarray) -> None:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode_png(pixels))

    for name in (*(f"train/good/{n}.png" for n in range(5)), "test/good/0.png"):
        save(name, rng.integers(0, 50, (SIDE, SIDE, 3), np.uint8))
    for kind, value, rows in (("logical_anomalies", 255, 5), ("structural_anomalies", 251, 10)):
        mask = np.zeros((SIDE, SIDE, 3), np.uint8)
        mask[10:30, 10:20] = value
        image = rng.integers(0, 50, (SIDE, SIDE, 3), np.uint8)
        image[10 : 10 + rows, 10:20] = 255
        save(f"test/{kind}/0.png", image)
        save(f"ground_truth/{kind}/0/000.png", mask)
    defects = [
        {"pixel_value": 255, "saturation_threshold": 50, "relative_saturation": False},
        {"pixel_value": 251, "saturation_threshold": 1.0, "relative_saturation": True},
    ]
    (tmp_path / "defects_config.json").write_text(json.dumps(defects))
    return tmp_path


@pytest.mark.parametrize("size", [SIDE, 32], ids=["as it is", "half the size"])
def test_enough_of_a_logical_defect_is_all_of_it(loco: Path, size: int):
    notes: list[str] = []
    _, test = scan_category(loco, "part", "here", note=notes.append)
    assert "defects_config.json: AU-sPRO is measured too" in notes
    config = load_config(overrides=[f"image.size={size}"]).image
    scored = score_split(Brightness(), test, config, loco / "scratch", lambda *_: None)
    of = {result.defect: result for result in defect_results(scored, 0.5)}
    logical, structural = of["logical_anomalies"], of["structural_anomalies"]
    assert logical.au_spro_05 == pytest.approx(1, abs=0.02), "50 pixels are enough"
    assert logical.au_pro_30 < 0.6, "of 200"
    assert structural.au_spro_30 == pytest.approx(structural.au_pro_30)


def test_without_the_file_nothing_is_said_of_it(loco: Path):
    (loco / "defects_config.json").unlink()
    notes: list[str] = []
    _, test = scan_category(loco, "part", "here", note=notes.append)
    assert not any("sPRO" in note for note in notes)
    config = load_config(overrides=["image.size=32"]).image
    scored = score_split(Brightness(), test, config, loco / "scratch", lambda *_: None)
    assert scored.regions is None
    assert all(result.saturated == {} for result in defect_results(scored, 0.5))

"""The benchmarks of tiles and of light: how defects are binned, what is drawn, what tables say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy.measure import Row
from benchmarks.light.__main__ import render as render_light
from benchmarks.tiles.__main__ import by_size, render
from benchmarks.tiles.fabric import HOLE, draw_fabric


def test_each_quarter_of_the_defects_is_judged_against_all_good_images() -> None:
    sizes = np.array([0, 0, 0, 0, 5, 6, 50, 60, 500, 600, 5000, 6000])
    scores = np.array([1, 2, 3, 4, 0, 0, 2.5, 2.5, 3.5, 3.5, 9, 9])
    found = by_size(sizes > 0, scores, sizes)
    assert found == pytest.approx(
        {f"image_auroc_bin_{n}": auroc for n, auroc in enumerate((0, 0.5, 0.75, 1), start=1)}
    )


def test_a_hole_is_as_wide_as_its_mask_and_nothing_is_drawn_twice(tmp_path: Path) -> None:
    folder = draw_fabric(tmp_path, 64, train=1, test=1)
    mask = np.array(Image.open(folder / "ground_truth/hole/000.png")) > 0
    rows, columns = mask.any(axis=1), mask.any(axis=0)
    assert HOLE - 1 <= rows.sum() <= HOLE + 1
    assert HOLE - 1 <= columns.sum() <= HOLE + 1
    hole = np.array(Image.open(folder / "test/hole/000.png").convert("L"))
    assert hole[mask].mean() < 0.7 * hole[~mask].mean()
    kept = folder / "train/good/000.png"
    kept.write_bytes(b"kept")
    draw_fabric(tmp_path, 64, train=1, test=1)
    assert kept.read_bytes() == b"kept"


def test_tables_have_a_line_for_each_way() -> None:
    bins = {f"image_auroc_bin_{n}": 0.5 for n in range(1, 5)}
    metrics = {"image_auroc": 0.9, "pixel_ap": 0.2, "au_pro_30": 0.8, **bins}
    facts = {"cpu_ms": 1234, "largest_of_bin": [10, 20, 30, 4000]}
    table = render([Row("tiles", "part", seed, metrics, facts) for seed in (0, 1)])
    assert "defects up to 4,000 px" in table
    assert "| tiles | 0, 1 | 0.900 ± 0.000 |" in table
    assert table.rstrip().endswith("1,234 |")
    light = {"as it is": 1, "25 % darker": 2, "25 % brighter": 3}
    row = {
        "category": "part",
        "exposure": "even",
        "copies": "on",
        "seed": 0,
        "image_auroc": 0.9,
        "good": 4,
        "defective": 2,
        "flagged": light,
        "missed": 1,
    }
    found = render_light([row, row | {"exposure": "as_taken"}])
    assert "| part | even | on | 0 | 0.900 | 1 of 4 | 2 of 4 | 3 of 4 | 1 of 2 |" in found
    assert "| mean of 1 | as_taken | on | | 0.900 | 0.250 | 0.500 | 0.750 | 0.500 |" in found

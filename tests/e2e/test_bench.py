"""``gtrans bench`` on two tiny categories: real runs, and the tables that come out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gtrans_core.data.sources.demo import generate_demo
from tests.support.forks import gtrans

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = [
    "--set=image.size=64",
    "--set=agn.backbone=test_efficientnet",
    "--set=agn.weights=random:0",
    "--set=trans.backbone=test_resnet",
    "--set=trans.token_width=16",
    "--set=training.epochs=1",
    "--set=training.batch_size=8",
    "--set=training.light_augmentation=off",
    "--set=evaluation.perturbed_images=0",
]
METRICS = ("image_auroc", "pixel_auroc", "pixel_ap", "au_pro_30")


def test_the_tables_come_out_and_a_broken_category_does_not_stop_the_others(tmp_path: Path):
    for seed, category in enumerate(("twill", "weave")):
        folder = tmp_path / "data" / category
        generate_demo(folder, seed=seed, train=20, test_good=3, per_defect=1, size=128)
    # All have too few images to hold some out, as MVTec's toothbrush; one has good ones only.
    generate_demo(tmp_path / "plain", seed=2, train=8, test_good=1, per_defect=1, size=128)
    (tmp_path / "plain" / "train" / "good").rename(tmp_path / "data" / "plain")
    (tmp_path / "data" / "burnt" / "train" / "good").mkdir(parents=True)
    (tmp_path / "data" / "burnt" / "train" / "good" / "0.png").write_bytes(b"no image")
    place = ("--data", "data", "--store", "store", "--output", "out")
    result = gtrans("bench", *place, *SMALL, cwd=tmp_path)
    assert result.returncode == 4, result.stdout + result.stderr
    assert result.stderr.endswith("error: 1 of 4 runs failed: burnt, seed 0\n")
    numbers = json.loads((tmp_path / "out" / "bench.json").read_text(encoding="utf-8"))
    assert [run["category"] for run in numbers["runs"]] == ["plain", "twill", "weave"]
    plain, *others = numbers["runs"]
    assert set(plain["metrics"].values()) == {None}
    for run in others:
        assert all(0 <= run["metrics"][metric] <= 1 for metric in METRICS)
    page = (tmp_path / "out" / "bench.md").read_text(encoding="utf-8")
    for start in ("| twill | 0 | ", "| weave | 0 | ", "| plain | 0 | not available | "):
        assert f"\n{start}" in page
    assert "- burnt, seed 0: " in page

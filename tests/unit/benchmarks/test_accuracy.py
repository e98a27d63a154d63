"""The accuracy benchmarks: who learns from what, one metric code, the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.accuracy import splits
from benchmarks.accuracy.gtrans import run_gtrans
from benchmarks.accuracy.measure import Row, measured, read_rows, write_rows
from benchmarks.accuracy.splits import Category
from benchmarks.accuracy.table import mean_rows, render, spread
from gtrans_core.config import GTransConfig, ScoringConfig


@pytest.fixture(scope="module")
def category(tmp_path_factory: pytest.TempPathFactory) -> Category:
    """Noise, and noise with a white square."""
    root = tmp_path_factory.mktemp("data") / "part"
    noise = np.random.default_rng(0)
    square = np.zeros((64, 64), np.uint8)
    square[20:36, 20:36] = 255

    def save(name: str, pixels: np.ndarray) -> None:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(root / name)

    for i in range(12):
        save(f"train/good/{i}.png", noise.integers(0, 90, (64, 64), dtype=np.uint8))
    for i in range(3):
        save(f"test/good/{i}.png", noise.integers(0, 90, (64, 64), dtype=np.uint8))
        bad = np.maximum(noise.integers(0, 90, (64, 64), dtype=np.uint8), square)
        save(f"test/square/{i}.png", bad)
        save(f"ground_truth/square/{i}_mask.png", square)
    return Category.read(root)


def test_peers_learn_from_the_images_that_gtrans_trains_on(category: Category):
    first, other = category.training_paths(0), category.training_paths(1)
    assert len(first) == len(other) == 10  # 2 of 12 are held out
    assert set(first) != set(other)
    assert all(path.parent.parts[-2:] == ("train", "good") for path in first)
    assert len(category.test_paths) == len(category.labels) == 6


def test_one_training_is_scored_in_several_ways(category: Category, tiny_config, tmp_path: Path):
    config = tiny_config(
        "training.held_out_fraction=0.2", "training.epochs=2", "evaluation.false_alarm_rate=0.5"
    )
    scorings = {
        "both": GTransConfig(),
        "scene": GTransConfig(scoring=ScoringConfig(scene_share=1)),
        "trans": GTransConfig(scoring=ScoringConfig(scene_share=0)),
    }
    rows = run_gtrans(category, config, scorings, tmp_path, best_epoch="best")
    assert [row.method for row in rows] == ["both", "scene", "trans", "best"]
    assert {(row.category, row.seed) for row in rows} == {("part", config.seed)}
    values = {row.method: row.metrics for row in rows}
    assert values["scene"] != values["trans"] != values["both"]
    assert values["scene"]["pixel_auroc"] > 0.6
    assert all(row.facts["trained_on"] == 10 for row in rows)
    again = run_gtrans(category, config, scorings, tmp_path)
    assert [row.metrics for row in again] == [row.metrics for row in rows[:3]]


def test_metrics_without_masks_are_those_of_images():
    labels = np.array([False, True, True])
    maps = np.zeros((3, 4, 4), np.float32)
    assert measured(labels, None, maps, np.array([0.1, 0.2, 0.3])).keys() == {
        "image_auroc",
        "image_ap",
        "image_f1_max",
    }


def test_rows_are_read_back(tmp_path: Path):
    rows = [Row("ours", "part", 0, {"image_auroc": 0.9}).of("unit")]
    assert read_rows(tmp_path / "rows.json") == []
    write_rows(tmp_path / "rows.json", rows)
    assert read_rows(tmp_path / "rows.json") == rows


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "not available"), ([0.5], "0.500"), ([0.5, 0.7], "0.600 ± 0.141")],
)
def test_spread(values: list[float], text: str):
    assert spread(values) == text


def test_the_mean_is_over_seeds_that_have_every_category():
    rows = [
        Row("ours", "a", 0, {"image_auroc": 0.8}),
        Row("ours", "b", 0, {"image_auroc": 1.0}),
        Row("ours", "a", 1, {"image_auroc": 0.7}),
    ]
    (mean,) = mean_rows(rows)
    assert (mean.seed, mean.metrics["image_auroc"]) == (0, pytest.approx(0.9))


def test_categories_without_masks_have_no_part_in_the_mean_of_pixels():
    masked = {"image_auroc": 0.8, "pixel_ap": 0.5}
    (mean,) = mean_rows([Row("ours", "a", 0, masked), Row("ours", "b", 0, {"image_auroc": 1.0})])
    assert mean.metrics == {"image_auroc": pytest.approx(0.9), "pixel_ap": 0.5}


def test_the_others_choose_for_the_category_left_out():
    """On b and c ``steady`` is best, on a ``lucky``: a must not choose for itself."""
    values = {"steady": (0.7, 0.9, 0.9), "lucky": (1.0, 0.8, 0.8)}
    rows = [
        Row(method, category, seed, {"image_auroc": auroc})
        for method, aurocs in values.items()
        for category, auroc in zip("abc", aurocs, strict=True)
        for seed in (0, 1)
    ]
    lines = render(rows).splitlines()
    none = "not available | not available | not available"
    assert f"| a | steady: 0.700 (1.000) | {none} |" in lines
    assert f"| b | lucky: 0.800 (0.900) | {none} |" in lines


def test_a_category_is_named_by_its_folder_or_by_a_source(
    category: Category, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    folder = Path(category.train.root)

    def fetch(source: str, name: str, store: Path, **_: object) -> Path:
        assert (source, name, store) == ("elpv", "mono", tmp_path)
        return folder

    monkeypatch.setattr(splits, "fetch_category", fetch)
    assert Category.named("elpv:mono", tmp_path).train == category.train
    assert Category.named(str(folder), tmp_path).train == category.train


def test_the_table_has_a_line_for_each_method():
    metrics = {"image_auroc": 0.9, "pixel_auroc": 0.8, "pixel_ap": 0.5, "au_pro_30": 0.7}
    rows = [
        Row("ours", "a", 0, metrics),
        Row("ours", "a", 1, metrics),
        Row("theirs", "a", 0, {"image_auroc": 0.6}),
    ]
    lines = render(rows).splitlines()
    assert lines[0] == "**a**"
    assert (
        "| ours | 0, 1 | 0.900 ± 0.000 | 0.800 ± 0.000 | 0.500 ± 0.000 | 0.700 ± 0.000 |" in lines
    )
    unmasked = "not available | not available | not available"
    assert f"| theirs | 0 | 0.600 | {unmasked} |" in lines

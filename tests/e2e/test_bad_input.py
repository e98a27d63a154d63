"""A user's mistakes end before training, in one line with the file or field and its exit code."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.forks import gtrans

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GOOD_IMAGES = 95


def gtrans_run(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return gtrans("run", "--category", "part", "--data", root / "data", *options, cwd=root)


def write_part(root: Path) -> Path:
    """A small, valid category of noise."""
    generator = np.random.default_rng(0)
    folder = root / "data" / "part"

    def image(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)

    for i in range(GOOD_IMAGES):
        image(folder / "train" / "good" / f"{i:03}.png")
    for i in range(3):
        image(folder / "test" / "good" / f"{i:03}.png")
        image(folder / "test" / "scratch" / f"{i:03}.png")
        mask = np.zeros((32, 32), np.uint8)
        mask[4:8, 4:8] = 255
        path = folder / "ground_truth" / "scratch" / f"{i:03}_mask.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(path)
    return folder


def remove_the_category(folder: Path) -> None:
    folder.rename(folder.with_name("another"))


def remove_good_images(folder: Path) -> None:
    for path in (folder / "train" / "good").iterdir():
        path.unlink()


def keep_too_few_good_images(folder: Path) -> None:
    for path in sorted((folder / "train" / "good").iterdir())[4:]:
        path.unlink()


def truncate_an_image(folder: Path) -> None:
    path = folder / "train" / "good" / "007.png"
    path.write_bytes(path.read_bytes()[:-200])


def name_a_defect_oddly(folder: Path) -> None:
    (folder / "test" / "scratch").rename(folder / "test" / "scratch (deep)")
    (folder / "ground_truth" / "scratch").rename(folder / "ground_truth" / "scratch (deep)")


def resize_a_mask(folder: Path) -> None:
    Image.new("L", (16, 16), 255).save(folder / "ground_truth" / "scratch" / "001_mask.png")


@pytest.mark.parametrize(
    ("mistake", "named"),
    [
        (remove_the_category, ["part", "another"]),
        (remove_good_images, ["train/good"]),
        (keep_too_few_good_images, ["train/good", "4 images", "at least 5"]),
        (truncate_an_image, ["train/good/007.png"]),
        (resize_a_mask, ["001_mask.png", "16", "32"]),
    ],
)
def test_bad_data_end_in_ingest(tmp_path: Path, mistake: Callable[[Path], None], named: list[str]):
    mistake(write_part(tmp_path))
    result = gtrans_run(tmp_path)
    assert result.returncode == 4, result.stdout + result.stderr
    assert_one_line(result, named)
    assert "[cache_features]" not in result.stdout


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (["--set", "training.epoch=3"], 3, ["training.epoch", "gtrans config"]),
        (["--set", "training.epochs=0"], 3, ["training.epochs", "greater than or equal to 1"]),
        (["--config", "missing.toml"], 3, ["missing.toml"]),
        (["--profile", "moon"], 3, ["moon"]),
    ],
)
def test_bad_settings_end_before_the_pipeline(
    tmp_path: Path, options: list[str], code: int, named: list[str]
):
    result = gtrans_run(tmp_path, *options)
    assert result.returncode == code, result.stdout + result.stderr
    assert_one_line(result, named)
    assert "[ingest]" not in result.stdout


def test_an_unwritable_store_ends_before_the_pipeline(tmp_path: Path):
    (tmp_path / "taken").write_text("a file, not a folder")
    result = gtrans_run(tmp_path, "--store", str(tmp_path / "taken" / "store"))
    assert result.returncode == 6, result.stdout + result.stderr
    assert_one_line(result, ["taken"])
    assert "[ingest]" not in result.stdout


def assert_one_line(result: subprocess.CompletedProcess[str], named: list[str]) -> None:
    error, *rest = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert all(line.startswith("log: ") for line in rest)
    for part in named:
        assert part in error
    assert "Traceback" not in result.stderr + result.stdout

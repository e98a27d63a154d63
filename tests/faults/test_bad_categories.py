"""Faults 8, 10 and 11: all that is wrong with a category is listed at once, by name, at ingest."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from gtrans_core.data.layout import MIN_TRAIN_IMAGES, scan_category
from gtrans_core.errors import DataError
from tests.support.categories import put, sound_category
from tests.support.images import encoded, mask, png


@pytest.fixture
def category(tmp_path):
    return sound_category(tmp_path / "data" / "screw")


def scan(root):
    return scan_category(root, "screw", "folder")


def problems_of(root):
    with pytest.raises(DataError) as caught:
        scan(root)
    text = str(caught.value)
    if "\n" not in text:
        prefix = f"{root}: "
        assert text.startswith(prefix)
        return [text.removeprefix(prefix)]
    summary, *lines = text.split("\n")
    assert summary == f"{len(lines)} problems in {root}:"
    return [line.strip() for line in lines]


def test_missing_category_names_those_there(category):
    put(category.parent, "bolt/train/good/000.png", png(0))
    with pytest.raises(DataError, match=r"^no category 'nut': .*categories there: bolt, screw$"):
        scan_category(category.parent / "nut", "nut", "folder")


def test_folder_of_categories_names_them(category):
    root = category.parent
    with pytest.raises(DataError, match=r"no train/good folder; it holds the categories screw$"):
        scan_category(root, "data", "folder")


@pytest.mark.parametrize("where", ["missing/parent/too", "plain", "files/file"])
def test_anything_else_is_told_the_layout(tmp_path, where):
    put(tmp_path, "plain/000.png", png(0))
    put(tmp_path, "files/file", b"words")
    with pytest.raises(DataError, match=r"expected CATEGORY/train/good|: 1 images, at least"):
        scan_category(tmp_path / where, "x", "folder")


def jpeg_cut_short():
    return encoded(Image.open(io.BytesIO(png(5))), "JPEG")[:-30]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("train/good/000.png", b"", "train/good/000.png: empty file"),
        ("test/dent/000.png", png(200)[:-30], "test/dent/000.png: damaged or cut short"),
        ("test/good/x.jpg", jpeg_cut_short(), "test/good/x.jpg: damaged or cut short"),
        ("test/good/x.heic", b"words", "test/good/x.heic: HEIC is not read, save it as PNG"),
        ("train/good/x.NEF", png(9), "train/good/x.NEF: NEF is not read, save it as PNG"),
        ("test/good/x.jpe", b"words", "test/good/x.jpe: not a PNG, JPEG, BMP, TIFF or WEBP"),
        ("ground_truth/dent/000_mask.png", b"words", "ground_truth/dent/000_mask.png: not a PNG"),
        (
            "ground_truth/dent/000_mask.png",
            png(1),
            "ground_truth/dent/000_mask.png: not a two-valued mask: it has 126 values",
        ),
        (
            "ground_truth/dent/000_mask.png",
            mask(size=(8, 9)),
            "ground_truth/dent/000_mask.png: 8 x 9 pixels, but test/dent/000.png has 16 x 16",
        ),
        (
            "ground_truth/dent/000_mask.png",
            mask(value=0),
            "ground_truth/dent/000_mask.png: no defective pixel, "
            "but test/dent/000.png is a defective part",
        ),
        ("ground_truth/good/000.png", mask(), "ground_truth/good/000.png: marks a defect"),
        ("ground_truth/dent/9.png", mask(), "ground_truth/dent/9.png: no image for this mask"),
        ("ground_truth/hole/9.png", mask(), "ground_truth/hole/9.png: no image for this mask"),
        (
            "test/dent/002.png",
            png(202),
            "test/dent/002.png: no mask, expected ground_truth/dent/002_mask.png; to go on without "
            "masks, move ground_truth elsewhere",
        ),
        (
            "test/dent/000.jpg",
            png(203),
            "test/dent/000.png and test/dent/000.jpg: both would take the mask ground_truth/dent/",
        ),
        ("train/bad/000.png", png(7), "train/bad: only train/good may be here"),
        ("train/000.png", png(7), "train/000.png: not a folder of images; move it into train/good"),
        ("ground_truth/000.png", mask(), "ground_truth/000.png: not a folder of images; move it"),
        ("train/good/NG/000.png", png(70), "train/good/NG/000.png: among good parts, in a folder"),
        ("test/ok/masks/000.png", mask(), "test/ok/masks/000.png: among good parts, in a folder"),
        (f"test/{'x' * 101}/000.png", png(70), f"test/{'x' * 101}: rename it"),
        (
            "validation/good/000.png",
            png(7),
            "validation: unknown folder, expected only train, test",
        ),
        (
            "test/dent/000.png",
            png(3),
            "test/dent/000.png: the same image as train/good/003.png, in training",
        ),
        (
            "test/good/000.png",
            png(200),
            "test/good/000.png: the same image as test/dent/000.png, labelled otherwise",
        ),
        (
            "test/good/000.png",
            encoded(Image.open(io.BytesIO(png(3))), "TIFF"),
            "test/good/000.png: the same image as train/good/003.png, in training",
        ),
        ("test/good/a\nb\x1b.png", png(70), r"test/good/a\nb\x1b.png: characters in the name"),
    ],
)
def test_each_problem_is_one_line(category, name, data, problem):
    put(category, name, data)
    problems = problems_of(category)
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_name_that_is_no_text(category):
    folder = os.fsencode(category / "train/good")
    Path(os.fsdecode(folder + b"/\xff.png")).write_bytes(png(7))
    assert problems_of(category)[0].startswith("train/good/\\xff.png: characters in the name")


def test_link_to_nothing(category):
    (category / "train/good/link.png").symlink_to("nowhere.png")
    (category / "test/hole").symlink_to("nowhere")
    assert problems_of(category) == [
        f"{name}: a link to nothing; remove it, or mend the link"
        for name in ("train/good/link.png", "test/hole")
    ]


def test_unreadably_large_file(category):
    with (category / "train/good/huge.tif").open("wb") as file:
        file.truncate(2**30)  # sparse: takes no room
    assert problems_of(category) == ["train/good/huge.tif: too large, 1,073,741,824 bytes"]


def test_all_problems_are_listed_at_once(category):
    put(category, "train/good/000.png", b"")
    put(category, "train/good/001.png", png(1)[:100])
    put(category, "test/good/000.png", b"words")
    put(category, "test/dent/001.png", png(2))
    put(category, "ground_truth/scratch/000_mask.png", mask(size=(9, 9)))
    (category / "ground_truth/scratch/001_mask.png").unlink()
    names = {line.split(":")[0] for line in problems_of(category)}
    assert names == {
        "train/good/000.png",
        "train/good/001.png",
        "test/good/000.png",
        "test/dent/001.png",
        "ground_truth/scratch/000_mask.png",
        "test/scratch/001.png",
    }


def test_too_few_train_images(category):
    for i in range(MIN_TRAIN_IMAGES - 1, 12):
        (category / f"train/good/{i:03}.png").unlink()
    assert problems_of(category) == ["train/good: 4 images, at least 5 are needed"]


def test_no_train_image(category):
    for path in (category / "train/good").iterdir():
        path.unlink()
    assert problems_of(category) == ["train/good: 0 images, at least 5 are needed"]

"""Scanning a category: what is right becomes a manifest, all that is wrong is listed at once."""

import hashlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.data.layout import MIN_TRAIN_IMAGES, scan_category
from gtrans_core.data.manifest import data_digest
from gtrans_core.errors import DataError

SIDE = 16


def png(seed, size=(SIDE, SIDE)):
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels))


def mask(value=255, size=(SIDE, SIDE)):
    image = Image.new("L", size)
    image.paste(value, (2, 2, 6, 6))
    return encoded(image)


def encoded(image, file_format="PNG"):
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def put(root, name, data):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def category(tmp_path):
    """A sound category: 12 train, 3 good and 2 + 2 defective test images with masks."""
    root = tmp_path / "data" / "screw"
    for i in range(12):
        put(root, f"train/good/{i:03}.png", png(i))
    for i in range(3):
        put(root, f"test/good/{i:03}.png", png(100 + i))
    for defect, base in (("dent", 200), ("scratch", 300)):
        for i in range(2):
            put(root, f"test/{defect}/{i:03}.png", png(base + i))
            put(root, f"ground_truth/{defect}/{i:03}_mask.png", mask())
    return root


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


def test_sound_category(category):
    train, test = scan(category)
    assert (train.split, test.split) == ("train", "test")
    assert train.category == test.category == "screw"
    assert train.source == "folder"
    assert train.root == str(category.resolve())
    assert train.counts() == {"good": 12}
    assert test.counts() == {"dent": 2, "good": 3, "scratch": 2}
    assert test.has_masks
    sample = next(s for s in test.samples if s.path == "test/dent/001.png")
    assert sample.sha256 == hashlib.sha256(png(201)).hexdigest()
    assert sample.mask == "ground_truth/dent/001_mask.png"
    assert sample.mask_sha256 == hashlib.sha256(mask()).hexdigest()
    assert (sample.width, sample.height) == (SIDE, SIDE)
    assert all(s.mask is None for s in (*train.samples, *test.samples) if s.is_good)


def test_width_and_height_are_those_of_the_upright_image(category):
    put(category, "train/good/000.png", png(0, size=(20, 10)))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.open(io.BytesIO(png(1, size=(20, 10)))).save(buffer, "PNG", exif=exif)
    put(category, "train/good/001.png", buffer.getvalue())
    train, _ = scan(category)
    assert [(s.width, s.height) for s in train.samples[:2]] == [(20, 10), (10, 20)]


def test_masks_may_have_the_name_of_their_image(category):
    folder = category / "ground_truth/dent"
    (folder / "000_mask.png").rename(folder / "000.png")
    _, test = scan(category)
    assert {s.mask for s in test.samples if s.defect == "dent"} == {
        "ground_truth/dent/000.png",
        "ground_truth/dent/001_mask.png",
    }


@pytest.mark.parametrize("leftover", ["nothing", "empty folder"])
def test_without_ground_truth_there_are_no_masks(category, leftover):
    shutil.rmtree(category / "ground_truth")
    if leftover == "empty folder":
        (category / "ground_truth").mkdir()
    _, test = scan(category)
    assert not test.has_masks
    assert all(s.mask is None and s.mask_sha256 is None for s in test.samples)


def test_digest_is_of_contents_not_names(category, tmp_path):
    before = scan(category)
    moved = tmp_path / "elsewhere" / "other_name"
    shutil.copytree(category, moved)
    (moved / "train/good/000.png").rename(moved / "train/good/zzz.png")
    (moved / "test/dent/000.png").rename(moved / "test/dent/900.png")
    (moved / "ground_truth/dent/000_mask.png").rename(moved / "ground_truth/dent/900_mask.png")
    os.utime(moved / "test/dent/001.png", (0, 0))
    after = scan(moved)
    assert data_digest(*before) == data_digest(*after)
    assert before[0].root != after[0].root


def test_digest_changes_with_any_image_mask_or_label(category):
    before = data_digest(*scan(category))
    put(category, "ground_truth/dent/000_mask.png", mask(value=1))
    changed_mask = data_digest(*scan(category))
    put(category, "train/good/000.png", png(999))
    changed_image = data_digest(*scan(category))
    (category / "test/dent").rename(category / "test/hole")
    (category / "ground_truth/dent").rename(category / "ground_truth/hole")
    changed_label = data_digest(*scan(category))
    assert len({before, changed_mask, changed_image, changed_label}) == 4


def test_clutter_is_ignored(category):
    clean = data_digest(*scan(category))
    for name in ("readme.txt", "license.txt", ".DS_Store", "train/.hidden", "test/Thumbs.db"):
        put(category, name, b"words")
    for name in ("train/good/.DS_Store", "train/good/Thumbs.db", "ground_truth/dent/desktop.ini"):
        put(category, name, b"words")
    put(category, ".cache/x.png", b"words")
    assert data_digest(*scan(category)) == clean


def test_repeats_within_one_folder_are_allowed(category):
    put(category, "train/good/again.png", png(0))
    train, _ = scan(category)
    assert train.counts() == {"good": 13}


def test_progress_counts_every_file(category):
    seen = []
    scan_category(category, "screw", "folder", lambda done, total: seen.append((done, total)))
    assert seen == [(i, 23) for i in range(1, 24)]


def test_missing_category_names_those_there(category):
    put(category.parent, "bolt/train/good/000.png", png(0))
    with pytest.raises(DataError, match=r"^no category 'nut': .*categories there: bolt, screw$"):
        scan_category(category.parent / "nut", "nut", "folder")


def test_folder_of_categories_names_them(category):
    root = category.parent
    with pytest.raises(DataError, match=r"no train/good and no test.*holds the categories screw$"):
        scan_category(root, "data", "folder")


@pytest.mark.parametrize("where", ["missing/parent/too", "plain", "file"])
def test_anything_else_is_told_the_layout(tmp_path, where):
    put(tmp_path, "plain/000.png", png(0))
    put(tmp_path, "file", b"words")
    with pytest.raises(DataError, match="expected CATEGORY/train/good, CATEGORY/test/good"):
        scan_category(tmp_path / where, "x", "folder")


def test_no_test_folder(category):
    shutil.rmtree(category / "test")
    with pytest.raises(DataError, match=rf"^{category} has no test folder; expected"):
        scan(category)


def jpeg_cut_short():
    return encoded(Image.open(io.BytesIO(png(5))), "JPEG")[:-30]


@pytest.mark.parametrize(
    ("name", "data", "problem"),
    [
        ("train/good/000.png", b"", "train/good/000.png: empty file"),
        ("test/dent/000.png", png(200)[:-30], "test/dent/000.png: damaged or cut short"),
        ("test/good/x.jpg", jpeg_cut_short(), "test/good/x.jpg: damaged or cut short"),
        (
            "test/good/notes.txt",
            b"words",
            "test/good/notes.txt: not a PNG, JPEG, BMP, TIFF or WEBP",
        ),
        ("ground_truth/dent/000_mask.png", b"words", "ground_truth/dent/000_mask.png: not a PNG"),
        (
            "ground_truth/dent/000_mask.png",
            png(1),
            "ground_truth/dent/000_mask.png: not a two-valued mask: it has 256 values",
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
        ("ground_truth/good/000.png", mask(), "ground_truth/good/000.png: a mask for a good image"),
        ("ground_truth/dent/9.png", mask(), "ground_truth/dent/9.png: no image for this mask"),
        ("ground_truth/hole/9.png", mask(), "ground_truth/hole/9.png: no image for this mask"),
        (
            "ground_truth/dent/000_mask.bmp",
            mask(),
            "ground_truth/dent/000_mask.png: a second mask, beside ground_truth/dent/000_mask.bmp",
        ),
        (
            "test/dent/002.png",
            png(202),
            "test/dent/002.png: no mask, expected ground_truth/dent/002_mask.png",
        ),
        ("test/dent/000.jpg", png(203), "test/dent/000.png: no mask"),
        ("train/bad/000.png", png(7), "train/bad: only train/good may be here"),
        ("train/000.png", png(7), "train/000.png: not a folder of images"),
        ("test/good/sub/000.png", png(7), "test/good/sub: not a file"),
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
        ("test/good/a\nb.png", png(7), r"'test/good/a\nb.png': unprintable characters"),
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
    assert "unprintable characters" in problems_of(category)[0]


def test_link_to_nothing(category):
    (category / "train/good/link.png").symlink_to("nowhere.png")
    assert problems_of(category) == ["train/good/link.png: not a file"]


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
    assert problems_of(category) == ["train/good: 9 images, at least 10 are needed"]


def test_no_train_image(category):
    for path in (category / "train/good").iterdir():
        path.unlink()
    assert problems_of(category) == ["train/good: 0 images, at least 10 are needed"]


def test_no_good_test_image(category):
    shutil.rmtree(category / "test/good")
    [problem] = problems_of(category)
    assert problem == "test/good: no image, an evaluation needs good and defective ones"


def test_no_defective_test_image(category):
    shutil.rmtree(category / "ground_truth")
    for defect in ("dent", "scratch"):
        shutil.rmtree(category / "test" / defect)
    [problem] = problems_of(category)
    assert problem == "test: no defective image, an evaluation needs good and defective ones"

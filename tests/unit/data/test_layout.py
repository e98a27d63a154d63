"""Scanning a sound category: manifests, and digests of contents alone."""

import hashlib
import io
import os
import shutil

import pytest
from PIL import Image

from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import data_digest
from gtrans_core.errors import DataError
from tests.support.categories import put, sound_category
from tests.support.images import SIDE, mask, png


@pytest.fixture
def category(tmp_path):
    return sound_category(tmp_path / "data" / "screw")


def scan(root):
    return scan_category(root, "screw", "folder")


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


@pytest.mark.parametrize(
    ("gone", "counts"),
    [
        (["test", "ground_truth"], {}),
        (["test/dent", "test/scratch", "ground_truth"], {"good": 3}),
        (["test/good"], {"dent": 2, "scratch": 2}),
    ],
    ids=["nothing to test", "good ones only", "defects only"],
)
def test_what_is_tested_is_optional(category, gone, counts):
    for name in gone:
        shutil.rmtree(category / name)
    train, test = scan(category)
    assert train.counts() == {"good": 12}
    assert test.counts() == counts
    assert test.has_masks == ("dent" in counts)


def test_a_folder_of_images_is_good_parts_only(category, tmp_path):
    flat = tmp_path / "flat"
    shutil.copytree(category / "train/good", flat)
    put(flat, "license.txt", b"words")
    put(flat, ".DS_Store", b"words")
    (flat / "000.png").rename(flat / "000.PNG")
    train, test = scan(flat)
    assert train.digest == scan(category)[0].digest
    assert test.samples == ()
    assert {s.path for s in train.samples} == {"000.PNG", *(f"{i:03}.png" for i in range(1, 12))}
    put(flat, "000.PNG", b"no image")
    with pytest.raises(DataError, match=r"000\.PNG: "):
        scan(flat)


def test_images_beside_a_folder_are_no_category(category, tmp_path):
    shutil.copytree(category / "train/good", tmp_path / "mixed")
    (tmp_path / "mixed" / "more").mkdir()
    with pytest.raises(DataError, match="has no train/good folder"):
        scan(tmp_path / "mixed")


def test_repeats_within_one_folder_are_allowed(category):
    put(category, "train/good/again.png", png(0))
    train, _ = scan(category)
    assert train.counts() == {"good": 13}


def test_progress_counts_every_file(category):
    seen = []
    scan_category(category, "screw", "folder", lambda done, total: seen.append((done, total)))
    assert seen == [(i, 23) for i in range(1, 24)]

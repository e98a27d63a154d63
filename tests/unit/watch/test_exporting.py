"""Marked images become test images: each once, under one label, and the next run reads them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gtrans_core.data.layout import scan_category
from gtrans_core.watch.exporting import Exported, export
from gtrans_core.watch.feedback import FeedbackBook
from tests.support.categories import put, sound_category
from tests.support.images import png
from tests.unit.watch.test_feedback import statement

GOOD, BAD = png(401), png(402)


@pytest.fixture
def book(tmp_path: Path) -> FeedbackBook:
    """One image that is good, one with a dent."""
    book = FeedbackBook(str(tmp_path / "feedback"))
    book.add(statement(0, GOOD), GOOD)
    book.add(statement(1, BAD, truth="dent", score=0.5), BAD)
    return book


def exported(book: FeedbackBook, folder: Path) -> Exported:
    return export(book, book.latest("flange").values(), folder)


def name_of(image: bytes) -> str:
    return f"feedback-{hashlib.sha256(image).hexdigest()[:12]}.png"


def test_they_are_test_images_and_nothing_is_overwritten(book: FeedbackBook, tmp_path: Path):
    folder = tmp_path / "flange"
    assert exported(book, folder) == Exported(2, 0, 0, ())
    good = folder / "test/good" / name_of(GOOD)
    assert good.read_bytes() == GOOD
    assert (folder / "test/dent" / name_of(BAD)).read_bytes() == BAD
    good.write_bytes(png(403))  # touched up
    assert exported(book, folder) == Exported(0, 2, 0, ())
    assert good.read_bytes() == png(403)


def test_the_next_run_takes_them_with_and_without_a_mask(book: FeedbackBook, tmp_path: Path):
    folder = sound_category(tmp_path / "flange")
    exported(book, folder)
    notes: list[str] = []
    _, test = scan_category(folder, "flange", "folder", note=notes.append)
    bare = f"test/dent/{name_of(BAD)}"
    assert [s.path for s in test.samples if not (s.is_good or s.mask)] == [bare]
    assert test.has_masks
    assert any(
        note.startswith(f"no mask for 1 image from feedback, such as {bare}") for note in notes
    )
    drawn = next((folder / "ground_truth/dent").iterdir()).read_bytes()
    put(folder, f"ground_truth/dent/{name_of(BAD)}", drawn)
    _, test = scan_category(folder, "flange", "folder")
    assert all(s.mask for s in test.samples if not s.is_good)


def test_a_flat_folder_of_good_images_can_take_them(book: FeedbackBook, tmp_path: Path):
    folder = tmp_path / "flange"
    for number in range(6):
        put(folder, f"{number}.png", png(number))
    exported(book, folder)
    train, test = scan_category(folder, "flange", "folder")
    assert (train.counts(), test.counts()) == ({"good": 6}, {"good": 1, "dent": 1})


def test_a_change_of_mind_moves_the_image(book: FeedbackBook, tmp_path: Path):
    folder = tmp_path / "flange"
    exported(book, folder)
    book.add(statement(2, GOOD, truth="crack"), GOOD)
    assert exported(book, folder) == Exported(0, 1, 1, ())
    assert [path.parent.name for path in folder.rglob(name_of(GOOD))] == ["crack"]


def test_one_that_is_trained_on_by_now_is_left_there(book: FeedbackBook, tmp_path: Path):
    folder = tmp_path / "flange"
    exported(book, folder)
    (folder / "train/good").mkdir(parents=True)
    (folder / "test/good" / name_of(GOOD)).rename(folder / "train/good" / name_of(GOOD))
    assert exported(book, folder) == Exported(0, 2, 0, ())


def test_an_image_that_the_folder_has_is_not_written_again(book: FeedbackBook, tmp_path: Path):
    folder = tmp_path / "flange"
    put(folder, "test/OK/monday/1.png", GOOD)
    put(folder, "test/scratch/2.png", BAD)
    disputed = "test/scratch/2.png: there as scratch, marked as dent"
    assert exported(book, folder) == Exported(0, 1, 0, (disputed,))
    assert not list(folder.rglob("feedback-*"))


def test_a_mask_that_somebody_drew_stays_with_its_image(book: FeedbackBook, tmp_path: Path):
    folder = tmp_path / "flange"
    exported(book, folder)
    put(folder, f"ground_truth/dent/{Path(name_of(BAD)).stem}_mask.png", png(1))
    book.add(statement(2, BAD, truth="crack"), BAD)
    path = f"test/dent/{name_of(BAD)}"
    assert exported(book, folder).disputed == (f"{path}: there as dent, marked as crack",)

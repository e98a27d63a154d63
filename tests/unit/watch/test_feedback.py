"""What people say of images: kept whole, never overwritten, exported as test images."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from gtrans_core.errors import DataError, StorageError
from gtrans_core.watch.feedback import FeedbackBook, Statement

START = datetime(2026, 11, 28, tzinfo=UTC)
IMAGE = b"bytes of an image"


def statement(minute: int = 0, image: bytes = IMAGE, **facts: Any) -> Statement:
    sound = {
        "category": "flange",
        "version": 3,
        "digest": "d" * 64,
        "score": 1.4,
        "threshold": 1.0,
        "truth": "good",
        "name": "p1.PNG",
        "image_sha256": hashlib.sha256(image).hexdigest(),
        "said_at": START + timedelta(minutes=minute),
    }
    return Statement(**{**sound, **facts})


@pytest.fixture
def book(tmp_path: Path) -> FeedbackBook:
    return FeedbackBook(str(tmp_path / "feedback"))


def test_a_statement_and_its_image_come_back(book: FeedbackBook):
    said = statement(who="ada")
    assert book.add(said, IMAGE)
    assert book.read("flange") == [said]
    assert book.image(said) == IMAGE
    assert book.read("hose") == []
    assert said.corrects
    assert not statement(truth="dent").corrects


def test_said_again_it_is_one_and_a_change_of_mind_is_added(book: FeedbackBook, tmp_path: Path):
    first = statement()
    book.add(first, IMAGE)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert not book.add(statement(minute=1), IMAGE)
    changed = statement(minute=2, truth="dent")
    assert book.add(changed, IMAGE)
    assert book.read("flange") == [first, changed]
    assert book.latest("flange") == {first.image_sha256: changed}
    assert {path: path.read_bytes() for path in before} == before


def test_what_another_process_says_is_known_a_minute_later(
    book: FeedbackBook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    moment = [100.0]
    monkeypatch.setattr("gtrans_core.watch.feedback.time.monotonic", lambda: moment[0])
    book.add(statement(), IMAGE)
    FeedbackBook(str(tmp_path / "feedback")).add(statement(minute=1, truth="dent"), IMAGE)
    assert not book.add(statement(minute=2), IMAGE)  # as far as it knows
    moment[0] = 160.0
    assert book.add(statement(minute=3), IMAGE)
    assert [said.truth for said in book.read("flange")] == ["good", "dent", "good"]


def test_another_model_may_be_wrong_of_the_same_image(book: FeedbackBook):
    book.add(statement(), IMAGE)
    assert book.add(statement(minute=1, digest="e" * 64, version=4), IMAGE)
    assert len(list(book.read("flange"))) == 2


def test_an_image_that_is_another_is_refused(book: FeedbackBook):
    with pytest.raises(DataError, match="changed since it was scored"):
        book.add(statement(), b"other bytes")
    assert book.read("flange") == []


@pytest.mark.parametrize(
    "truth", ["", "../up", "a/b", ".hidden", "ends.", "x" * 101, "\u7b14" * 90, "a\nb", "<b>"]
)
def test_what_cannot_be_a_folder_is_no_truth(truth: str):
    with pytest.raises(ValidationError):
        statement(truth=truth)


def test_a_kind_is_called_as_a_folder_may_be_and_good_has_many_names():
    assert statement(truth="Kratzer groß").truth == "Kratzer groß"
    assert [statement(truth=word).truth for word in ("OK", "Good", "i.O.")] == ["good"] * 3


def test_a_score_that_is_no_number_is_no_statement():
    with pytest.raises(ValidationError, match="finite"):
        statement(score=float("nan"))


def test_a_damaged_file_and_a_changed_image_are_named(book: FeedbackBook, tmp_path: Path):
    said = statement()
    book.add(said, IMAGE)
    [image] = (tmp_path / "feedback/flange/images").iterdir()
    image.write_bytes(b"changed")
    with pytest.raises(StorageError, match=r"images/.*: was changed"):
        book.image(said)
    (tmp_path / "feedback/flange/said/20260101.json").write_text("{}")
    with pytest.raises(StorageError, match=r"20260101\.json: not a statement of feedback"):
        book.read("flange")

"""Versions as the registry has them, and champion against challenger, image by image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from gtrans_core.errors import ModelError
from gtrans_core.evaluation.image_table import IMAGES, ImageResult, write_images
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.duel import duel_of, images_of, standings_of
from gtrans_core.tracking.runs import RunLogger, open_run
from tests.support.evaluations import image_result
from tests.support.shelf import Shelf

DENT = image_result(kind="dent", score=0.8)
CAUGHT = replace(DENT, score=1.2, verdict="flagged")


def log_images(run: RunLogger, folder: Path, *rows: ImageResult) -> None:
    write_images(folder, rows)
    run.log_artifact_bytes(IMAGES, (folder / IMAGES).read_bytes())


@pytest.fixture
def second(shelf: Shelf, settings: TrackingAddress, tmp_path: Path) -> Shelf:
    """The same model, from another run."""
    other = Shelf(open_run(settings, uuid4().hex, "bottle"), tmp_path)
    other.category = shelf.category
    return other


def test_the_challenger_is_held_against_the_champion(shelf: Shelf, second: Shelf, tmp_path: Path):
    log_images(shelf.run, tmp_path, DENT)
    log_images(second.run, tmp_path, CAUGHT)
    shelf.register("one", gate="passed")
    shelf.client.set_registered_model_alias(shelf.name, "champion", "1")
    second.register("two")
    standings = standings_of(shelf.client, shelf.category)
    assert {number: (one.aliases, one.gate) for number, one in standings.items()} == {
        1: (("champion",), "passed"),
        2: (("challenger",), ""),
    }
    found = duel_of(shelf.client, standings)
    assert found is not None
    assert (found.champion, found.challenger) == (1, 2)
    assert found.contest is not None
    assert [each.change for each in found.contest.changed] == ["now caught"]


def test_without_images_of_one_there_is_no_contest(shelf: Shelf, second: Shelf, tmp_path: Path):
    log_images(second.run, tmp_path, CAUGHT)
    shelf.register("one")
    shelf.client.set_registered_model_alias(shelf.name, "champion", "1")
    second.register("two")
    found = duel_of(shelf.client, standings_of(shelf.client, shelf.category))
    assert found is not None
    assert found.contest is None


def test_one_alone_fights_nobody(shelf: Shelf):
    assert standings_of(shelf.client, shelf.category) == {}
    shelf.register("one")
    standings = standings_of(shelf.client, shelf.category)
    assert duel_of(shelf.client, standings) is None
    shelf.client.set_registered_model_alias(shelf.name, "champion", "1")
    assert duel_of(shelf.client, standings_of(shelf.client, shelf.category)) is None


def test_damaged_images_are_named(shelf: Shelf):
    shelf.run.log_artifact_bytes(IMAGES, b"no table")
    with pytest.raises(ModelError, match=r"images\.parquet"):
        images_of(shelf.client, shelf.run.run_id)
    assert images_of(shelf.client, "") == []

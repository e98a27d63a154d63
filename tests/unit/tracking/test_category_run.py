"""A step finds its category's run once; a failure is written on the run that was found."""

from __future__ import annotations

from unittest.mock import patch
from uuid import uuid4

from gtrans_core.tracking import category_run
from gtrans_core.tracking.category_run import CategoryRun
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.runs import FAILURE_TAG, open_run


def test_the_run_is_found_once_and_failed_without_another_search(settings: TrackingAddress) -> None:
    run = CategoryRun(settings, uuid4().hex, "bottle")
    with patch.object(category_run, "open_run", side_effect=open_run) as opening:
        first, again = run.open(step="train"), run.open()
    assert first is again
    assert opening.call_count == 1
    with patch.object(category_run, "fail_run") as searching:
        run.fail("train: no room")
    searching.assert_not_called()
    ended = first.client.get_run(first.run_id)
    assert ended.info.status == "FAILED"
    assert ended.data.tags[FAILURE_TAG] == "train: no room"


def test_a_run_that_nobody_opened_is_searched_for(settings: TrackingAddress) -> None:
    key = uuid4().hex
    made = open_run(settings, key, "bottle")
    CategoryRun(settings, key, "bottle").fail("ingest: no such folder")
    assert made.client.get_run(made.run_id).info.status == "FAILED"

"""The newest approvals that this machine saw."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.errors import StorageError
from gtrans_core.trust.seen import SeenApprovals


def test_the_newest_counts_for_each_model_of_each_registry(tmp_path: Path):
    seen = SeenApprovals(tmp_path / "store" / "approvals.json")
    assert seen.newest("here", "gtrans-nut") == 0
    for number in (3, 5, 4):
        seen.remember("here", "gtrans-nut", number)
    seen.remember("there", "gtrans-nut", 1)
    assert SeenApprovals(seen.path).newest("here", "gtrans-nut") == 5
    assert seen.newest("there", "gtrans-nut") == 1
    assert seen.newest("here", "gtrans-bolt") == 0


def test_a_disk_that_cannot_be_written_stops_nothing(tmp_path: Path):
    (tmp_path / "store").write_text("a file where a folder should be")
    SeenApprovals(tmp_path / "store" / "approvals.json").remember("here", "gtrans-nut", 3)


@pytest.mark.parametrize("text", ["", "[]", '{"here": 3}', '{"here": {"m": "x"}}', "[" * 9999])
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, text: str):
    path = tmp_path / "approvals.json"
    path.write_text(text)
    for look in (
        lambda: SeenApprovals(path).newest("here", "m"),
        lambda: SeenApprovals(path).remember("here", "m", 1),
    ):
        with pytest.raises(StorageError, match=r"approvals\.json: damaged") as told:
            look()
        assert "\n" not in str(told.value)

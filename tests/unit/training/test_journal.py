"""The training journal: every value once, whatever happened to the process that wrote it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gtrans_core.errors import StorageError
from gtrans_core.training.journal import TrainingJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "history.jsonl"


def values_in(history: TrainingJournal) -> list[tuple[int, str, float]]:
    return [(r["step"], n, v) for r in history.records() for n, v in r["values"].items()]


def test_records_in_order_one_json_line_each(path: Path) -> None:
    before = time.time() * 1000 - 1
    history = TrainingJournal(path)
    history.append(1, {"loss": 0.5, "rate": 1e-3})
    history.append(2, {"loss": 0.25})
    assert values_in(history) == [(1, "loss", 0.5), (1, "rate", 1e-3), (2, "loss", 0.25)]
    lines = path.read_text().splitlines()
    checks = [(row := json.loads(line)).pop("check") for line in lines]
    assert len(set(checks)) == 2
    assert row == history.records()[-1]
    assert all(before <= r["time_ms"] <= time.time() * 1000 for r in history.records())


def test_empty_history(path: Path) -> None:
    assert TrainingJournal(path).records() == []


def test_a_step_computed_again_is_not_journalled_twice(path: Path) -> None:
    TrainingJournal(path).append(1, {"loss": 0.5})
    first = path.read_bytes()
    again = TrainingJournal(path)
    again.append(1, {"loss": 0.5})
    again.append(1, {"loss": 0.5})
    assert path.read_bytes() == first
    again.append(1, {"loss": 0.5, "held_out_loss": 0.75})
    assert values_in(again) == [(1, "loss", 0.5), (1, "held_out_loss", 0.75)]


@given(cut=st.integers(1, 1000), steps=st.integers(1, 5))
def test_a_torn_write_loses_only_its_own_record(
    cut: int, steps: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever was cut off: the whole lines stay, and the steps computed again complete it."""
    path = tmp_path_factory.mktemp("torn") / "history.jsonl"
    history = TrainingJournal(path)
    for step in range(1, steps + 1):
        history.append(step, {"loss": step / 8})
    whole = path.read_bytes()
    kept = whole[: max(0, len(whole) - cut)]
    path.write_bytes(kept)
    resumed = TrainingJournal(path)
    assert path.read_bytes() == kept[: kept.rfind(b"\n") + 1]
    for step in range(1, steps + 1):
        resumed.append(step, {"loss": step / 8})
    assert values_in(resumed) == [(step, "loss", step / 8) for step in range(1, steps + 1)]


def test_a_whole_journal_is_left_as_it_is(path: Path) -> None:
    """Its inode too: the thread that sends it to MLflow has it open."""
    TrainingJournal(path).append(1, {"loss": 0.5})
    before = path.read_bytes(), path.stat().st_ino
    TrainingJournal(path)
    assert (path.read_bytes(), path.stat().st_ino) == before


def test_unwritable_journal_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be written") as caught:
        TrainingJournal(tmp_path / "file" / "history.jsonl")
    assert "\n" not in str(caught.value)


def test_journal_that_became_unwritable_is_one_line(path: Path) -> None:
    history = TrainingJournal(path)
    path.mkdir()
    with pytest.raises(StorageError, match=r"history\.jsonl: cannot be written"):
        history.append(1, {"loss": 0.5})


@pytest.mark.parametrize("bit", [0, 3, 6])
def test_any_flipped_bit_is_set_aside_and_costs_its_own_record(path: Path, bit: int) -> None:
    history = TrainingJournal(path)
    for step in range(1, 4):
        history.append(step, {"loss": step / 8})
    whole = path.read_bytes()
    second = range(whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b"\n") + 1))
    for place in second:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        damaged, said = path.read_bytes(), []
        mended = TrainingJournal(path, said.append)
        kept = [step for step, _, _ in values_in(mended)]
        assert kept == [1, 3]
        assert path.with_name("history.jsonl.damaged").read_bytes() == damaged
        [line] = said
        assert "1 of 3 lines" in line or "2 of 4 lines" in line  # one that became two
        mended.append(2, {"loss": 2 / 8})
        assert sorted(values_in(mended)) == [(step, "loss", step / 8) for step in (1, 2, 3)]


def test_a_journal_of_before_there_were_checks_is_read(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"step": 1, "time_ms": 5, "values": {"loss": 0.5}}\n')
    before = path.read_bytes()
    assert values_in(TrainingJournal(path)) == [(1, "loss", 0.5)]
    assert path.read_bytes() == before

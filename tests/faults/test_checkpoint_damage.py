"""Faults 2 and 3: a kill or a flipped bit never costs more than one of two checkpoints."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gtrans_core.errors import StorageError
from gtrans_core.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint


def checkpoint(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    tensors = {
        "trans.weight": torch.randn(3, 4, generator=generator),
        "trans.count": torch.tensor(step),
        "optimizer.0.step": torch.tensor(float(step)),
    }
    return Checkpoint(step, tensors, {"best_loss": step / 7})


def assert_same(found: Checkpoint | None, expected: Checkpoint) -> None:
    assert found is not None
    assert (found.step, found.values) == (expected.step, expected.values)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position // 8 % len(data)] ^= 1 << position % 8
    path.write_bytes(bytes(data))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path: Path) -> None:
    said: list[str] = []
    assert newest_checkpoint(tmp_path / "none yet", said.append) is None
    save_checkpoint(tmp_path, checkpoint(5))
    assert_same(newest_checkpoint(tmp_path, said.append), checkpoint(5))
    assert said == []


def test_values_may_be_none_and_any_layout_is_kept_by_value(tmp_path: Path) -> None:
    weight = torch.randn(4, 3, 2, 2).to(memory_format=torch.channels_last)
    save_checkpoint(tmp_path, Checkpoint(1, {"w": weight, "t": weight.mT}, {"best_loss": None}))
    found = newest_checkpoint(tmp_path, pytest.fail)
    assert found is not None
    assert found.values == {"best_loss": None}
    assert torch.equal(found.tensors["w"], weight)
    assert torch.equal(found.tensors["t"], weight.mT)


def test_two_generations_are_kept(tmp_path: Path) -> None:
    """In the order of steps, also where their number gains a digit."""
    for step in (8, 9, 10, 99, 100):
        save_checkpoint(tmp_path, checkpoint(step))
    assert [name.split("-")[1] for name in names_in(tmp_path)] == ["00000099", "00000100"]
    assert_same(newest_checkpoint(tmp_path, pytest.fail), checkpoint(100))


@given(position=st.integers(0, 100_000), truncate=st.booleans())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_newest_costs_one_generation(
    position: int, truncate: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, said = tmp_path_factory.mktemp("checkpoints"), []
    save_checkpoint(folder, checkpoint(1))
    newest = save_checkpoint(folder, checkpoint(2))
    if truncate:
        newest.write_bytes(newest.read_bytes()[: position % newest.stat().st_size])
    else:
        flip(newest, position)
    assert_same(newest_checkpoint(folder, said.append), checkpoint(1))
    assert len(said) == 1
    assert "checkpoint damaged, set aside" in said[0]
    assert newest.name in said[0]
    assert names_in(folder)[1] == f"{newest.name}.damaged"


def test_no_intact_one_starts_anew_and_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    for step in (1, 2):
        flip(save_checkpoint(tmp_path, checkpoint(step)), 999)
    assert newest_checkpoint(tmp_path, said.append) is None
    assert len(said) == 3
    assert said[2] == "no intact checkpoint: training starts over"
    said.clear()
    assert newest_checkpoint(tmp_path, said.append) is None
    assert said == []


def test_training_goes_on_over_a_damaged_one(tmp_path: Path) -> None:
    """The step that was damaged is written again, beside what was set aside."""
    save_checkpoint(tmp_path, checkpoint(1))
    flip(save_checkpoint(tmp_path, checkpoint(2)), 5)
    newest_checkpoint(tmp_path, lambda line: None)
    save_checkpoint(tmp_path, checkpoint(2))
    assert_same(newest_checkpoint(tmp_path, pytest.fail), checkpoint(2))


def test_unfinished_write_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / f".{path.name}.0123456789abcdef.tmp").write_bytes(b"half")
    assert_same(newest_checkpoint(tmp_path, pytest.fail), checkpoint(1))
    assert names_in(tmp_path) == [path.name]


def test_failed_write_keeps_the_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in (1, 2):
        save_checkpoint(tmp_path, checkpoint(step))
    before = names_in(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="disk is full"):
        save_checkpoint(tmp_path, checkpoint(3))
    assert names_in(tmp_path) == before


WRITER = """
import os, torch
from gtrans_core.training.checkpoint import Checkpoint, save_checkpoint
saved = os.open(report, os.O_WRONLY | os.O_APPEND)
while True:
    save_checkpoint(folder, Checkpoint(step, {"w": torch.arange(1_500_000.0) + step}, {}))
    os.write(saved, b"s")
    step += 1
"""


def test_kill_during_the_write_never_loses_the_previous_one(tmp_path: Path, start_process) -> None:
    """kill -9 twenty times, while (or just after) a checkpoint is written."""
    rng = np.random.default_rng(0)
    folder, report = tmp_path / "checkpoints", tmp_path / "report"
    last = torn = 0
    for _ in range(20):
        report.write_bytes(b"")
        writer = start_process(WRITER, folder=folder, report=report, step=last + 1)
        while not report.stat().st_size and writer.is_alive():
            time.sleep(0.001)
        while not list(folder.glob(".*.tmp")) and writer.is_alive():
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.02))
        writer.kill()
        writer.join()
        torn += len(list(folder.glob(".*.tmp")))
        written = last + report.stat().st_size
        found = newest_checkpoint(folder, pytest.fail)
        assert found is not None
        assert found.step in (written, written + 1)
        assert torch.equal(found.tensors["w"], torch.arange(1_500_000.0) + found.step)
        last = found.step
    assert torn, "no kill came during a write"

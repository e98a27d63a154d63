"""Fault 15: a disk (a real one, of memory) that is full, or fills up, when something is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import require_intact
from gtrans_core.errors import StorageError
from gtrans_core.features.cache import build_cache, load_cache
from gtrans_core.storage import write_atomic
from gtrans_core.training.checkpoint import Checkpoint, newest_checkpoint, save_checkpoint
from gtrans_core.training.loop import train_trans
from gtrans_core.training.trained_model import TrainedModel, save_trained
from gtrans_core.training.training_info import TrainingInfo
from tests.support.disk import Disk

NUMBERS = re.compile(r"needs ([\d,]+) bytes and ([\d,]+) are free; make room or choose another")


def refused(error: pytest.ExceptionInfo[StorageError], disk: Disk) -> None:
    """One line with the needed and the free bytes, which are true."""
    numbers = NUMBERS.search(str(error.value))
    assert numbers, error.value
    needed, free = (int(number.replace(",", "")) for number in numbers.groups())
    assert needed > free == disk.free()
    assert "\n" not in str(error.value)


def test_cache_is_refused_before_anything_is_computed(builder, disk: Disk) -> None:
    disk.leave(64 * 1024)
    builder.root = disk.folder
    with pytest.raises(StorageError) as error:
        builder.build()
    refused(error, disk)
    assert builder.progress == []
    assert disk.names() == set()


def test_cache_on_a_disk_that_fills_up_goes_on_once_there_is_room(builder, disk: Disk) -> None:
    def fill_up(done: int, total: int) -> None:
        if done < total:
            disk.leave(4096)

    folder = disk.folder / builder.identity.key
    arguments = (disk.folder, builder.identity, builder.manifest, builder.agn)
    with pytest.raises(StorageError) as error:
        build_cache(*arguments, fill_up)
    refused(error, disk)
    assert len(disk.names()) == 1, "a torn shard, or none"
    (disk.folder / "filler").unlink()
    report = build_cache(*arguments, lambda done, total: None)
    assert (report.computed, report.damaged_shards) == (4, 0)
    assert len(load_cache(folder).views) == 7


def test_training_is_refused_before_its_first_step(tiny_cache, tiny_config, disk: Disk) -> None:
    steps: list[int] = []
    disk.leave(16 * 1024)
    with pytest.raises(StorageError) as error:
        train_trans(
            load_cache(tiny_cache.folder),
            tiny_cache.spec,
            tiny_config(),
            disk.folder / "training",
            on_progress=lambda done, total, note: steps.append(done),
            say=pytest.fail,
            stop_requested=lambda: False,
        )
    refused(error, disk)
    assert steps == []


def test_checkpoint_that_does_not_fit_leaves_the_older_ones(disk: Disk) -> None:
    state = {"weight": torch.arange(60_000.0)}
    for step in (1, 2):
        save_checkpoint(disk.folder, Checkpoint(step, state, {}))
    before = disk.names()
    disk.leave(100_000)
    with pytest.raises(StorageError) as error:
        save_checkpoint(disk.folder, Checkpoint(3, state, {}))
    refused(error, disk)
    assert disk.names() == before
    found = newest_checkpoint(disk.folder, pytest.fail)
    assert found is not None
    assert found.step == 2
    assert torch.equal(found.tensors["weight"], state["weight"])


def test_detector_that_does_not_fit_leaves_the_old_one(tiny_detector: Path, disk: Disk) -> None:
    detector = Detector.load(tiny_detector)
    small = disk.folder / "detector"
    detector.save(small)
    before = require_intact(small)
    disk.leave(4096)
    with pytest.raises(StorageError) as error:
        detector.save(small)
    refused(error, disk)
    assert require_intact(small) == before


def test_trained_model_that_does_not_fit(tiny_detector: Path, disk: Disk) -> None:
    scorer = Detector.load(tiny_detector).scorer
    info = TrainingInfo.model_construct()  # is written last, and not reached
    disk.leave(4096)
    with pytest.raises(StorageError) as error:
        save_trained(
            disk.folder / "model", TrainedModel(scorer.trans, scorer.scene, scorer.memory), info
        )
    refused(error, disk)
    assert disk.names() == set()


def test_a_disk_that_fills_up_while_a_file_is_written(disk: Disk, monkeypatch) -> None:
    """The look beforehand saw room that somebody else took then."""
    write_atomic(disk.folder / "file", b"old")
    monkeypatch.setattr("gtrans_core.storage.atomic._free_bytes", lambda folder: 10 * 2**20)
    with pytest.raises(StorageError, match="the disk is full: 3,000,000 bytes needed"):
        write_atomic(disk.folder / "file", bytes(3_000_000))
    assert (disk.folder / "file").read_bytes() == b"old"
    assert disk.names() == {"file"}

"""A cache that does not fit in memory: the same numbers, flat memory, damage noticed (fault 5)."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.speed.streaming import write_random_cache
from gtrans_core.errors import DataError
from gtrans_core.features.cache import load_cache
from gtrans_core.features.reading import Features, StreamedFeatures
from gtrans_core.network.agn import state_sha256
from gtrans_core.training.checkpoint import newest_checkpoint
from gtrans_core.training.loop import TrainingResult, train_trans
from gtrans_core.training.trained_model import load_trained
from tests.support.runs import TinyRun

Damage = Callable[[Path], object]


@pytest.fixture
def train(built, tiny_config, tmp_path: Path) -> Callable[..., TrainingResult]:
    """``train(features, name, after_step=...)``: three steps an epoch, four epochs."""

    def run(
        features: Features, name: str, after_step: Callable[[int], None] = lambda step: None
    ) -> TrainingResult:
        return train_trans(
            features,
            built.agn.spec,
            tiny_config("training.batch_size=2", "training.selection=best_held_out"),
            tmp_path / name,
            on_progress=lambda done, total, note: after_step(done),
            say=lambda line: None,
            stop_requested=lambda: False,
        )

    return run


def outcome(result: TrainingResult) -> tuple[str, list[dict]]:
    records = [(record["step"], record["values"]) for record in result.history]
    return state_sha256(result.trans.state_dict()), records


def test_streamed_training_is_bit_equal(built, train) -> None:
    resident = train(load_cache(built.folder), "resident")
    streamed = train(StreamedFeatures(built.folder), "streamed")
    assert resident.steps == streamed.steps == 12
    assert outcome(streamed) == outcome(resident)


@pytest.mark.slow
def test_a_run_from_disk_makes_the_same_detector(part: Path) -> None:
    """Training, scene model, threshold; a run in memory then reuses the streamed training."""
    streamed = TinyRun(part, "streamed", overrides=("training.resident_mb=0",))
    resident = TinyRun(part, "resident", overrides=("training.resident_mb=1",))
    streamed.go("ingest", "cache_features", "train", "evaluate")
    resident.go("ingest", "cache_features", "train", "evaluate")
    first, first_info = load_trained(streamed.path("model"))
    second, second_info = load_trained(resident.path("model"))
    assert first_info.key == second_info.key
    assert second_info.resumed_at == second_info.steps
    assert state_sha256(first.scene.state_dict()) == state_sha256(second.scene.state_dict())
    packaged = [
        json.loads((run.path("detector") / "detector.json").read_bytes())
        for run in (streamed, resident)
    ]
    assert packaged[0]["held_out_scores"] == packaged[1]["held_out_scores"]


def flip(path: Path) -> None:
    """Another bit in each image of the shard, the file's length and time as before."""
    data = bytearray(path.read_bytes())
    data[3000::10] = bytes(byte ^ 16 for byte in data[3000::10])
    with path.open("r+b") as file:
        file.write(data)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:3000]),
        lambda path: path.write_bytes(b""),
        Path.unlink,
    ],
    ids=["flipped", "cut short", "empty", "deleted"],
)
def test_shard_damaged_while_training(built, train, tmp_path: Path, damage: Damage) -> None:
    """It ends in one line; once mended, the training goes on to the same weights."""
    whole = outcome(train(load_cache(built.folder), "whole"))

    def after_step(step: int) -> None:
        if step == 4:
            for path in built.shards():
                damage(path)

    with pytest.raises(DataError, match=r"shard-0000.*run the pipeline again") as caught:
        train(StreamedFeatures(built.folder), "hurt", after_step)
    assert "\n" not in str(caught.value)
    checkpoint = newest_checkpoint(tmp_path / "hurt", pytest.fail)
    assert checkpoint is not None
    assert checkpoint.step == 3
    assert built.build().computed == 7
    mended = train(StreamedFeatures(built.folder), "hurt")
    assert mended.resumed_at == 3
    assert outcome(mended) == whole


def test_a_shard_written_anew_does_not_matter(built, train) -> None:
    """As when another process mends or fetches the same cache."""
    files = {path: path.read_bytes() for path in built.shards()}

    def after_step(step: int) -> None:
        for path, data in files.items():
            path.unlink()
            path.write_bytes(data)

    streamed = train(StreamedFeatures(built.folder), "streamed", after_step)
    assert outcome(streamed) == outcome(train(load_cache(built.folder), "resident"))


TRAIN = """
from benchmarks.speed.streaming import train
report.write_text(str(train(cache, config)))
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path: Path, tiny_config, start_process) -> None:
    """Streamed, 760 images more take less than half of their bytes; in memory, more than that."""

    def peak_bytes(cache: Path, resident_mb: int) -> int:
        config = tiny_config(*knobs, f"training.resident_mb={resident_mb}")
        report = tmp_path / "report"
        trainer = start_process(TRAIN, cache=cache, config=config, report=report)
        trainer.join(120)
        assert trainer.exitcode == 0
        return int(report.read_text())

    knobs = ("image.size=128", "training.epochs=1", "training.batch_size=16")
    few, many = (write_random_cache(tmp_path, n, tiny_config(*knobs)) for n in (40, 800))
    sizes = [sum(path.stat().st_size for path in cache.iterdir()) for cache in (few, many)]
    half = (sizes[1] - sizes[0]) / 2
    streamed = peak_bytes(many, resident_mb=0)
    assert streamed - peak_bytes(few, resident_mb=0) < half
    assert peak_bytes(many, resident_mb=1000) - streamed > half

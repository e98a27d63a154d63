"""Faults 1 and 4: a trainer that is killed, or told to go, loses nothing but time."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gtrans_core.config import GTransConfig
from gtrans_core.errors import PreemptedError
from gtrans_core.features.cache import load_cache
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.network.agn import state_sha256
from gtrans_core.progress import ENVIRONMENT_VARIABLE
from gtrans_core.tracking.journal import replay
from gtrans_core.tracking.runs import open_run
from gtrans_core.training.checkpoint import newest_checkpoint
from gtrans_core.training.key import training_key
from gtrans_core.training.loop import TrainingResult, train_trans
from gtrans_core.training.split import split_images
from gtrans_core.training.trained_model import load_trained

STEPS = 100
KILLS = 20
FEW_STEPS = 20


@pytest.fixture
def config_of(tiny_config) -> Callable[[int], GTransConfig]:
    """``config_of(steps)``: two steps an epoch, a checkpoint after each epoch."""
    return lambda steps: tiny_config(
        f"training.epochs={steps // 2}", "training.selection=best_held_out"
    )


def train_here(tiny_cache, config: GTransConfig, folder: Path) -> TrainingResult:
    return train_trans(
        load_cache(tiny_cache.folder),
        tiny_cache.spec,
        config,
        folder,
        on_progress=lambda done, total, note: None,
        say=lambda line: None,
        stop_requested=lambda: False,
    )


def journal(records: list[dict]) -> list[tuple[int, dict[str, float]]]:
    return [(record["step"], record["values"]) for record in records]


TRAIN = """
import os
from gtrans_core.features.cache import load_cache
from gtrans_core.training.loop import train_trans
steps = os.open(report, os.O_WRONLY | os.O_APPEND)
train_trans(
    load_cache(cache), spec, config, folder,
    on_progress=lambda done, total, note: os.write(steps, b"s"),
    say=lambda line: None,
    stop_requested=lambda: False,
)
"""


def test_killed_at_random_moments(
    tiny_cache, config_of, tmp_path: Path, start_process, embedded
) -> None:
    """kill -9 twenty times, the same command again: as if nothing had happened."""
    rng, config = np.random.default_rng(0), config_of(STEPS)
    folder, report = tmp_path / "training", tmp_path / "report"
    report.write_bytes(b"")
    values = {
        "cache": tiny_cache.folder,
        "spec": tiny_cache.spec,
        "config": config,
        "folder": folder,
        "report": report,
    }
    for _ in range(KILLS):
        trainer = start_process(TRAIN, **values)
        until = report.stat().st_size + int(rng.integers(1, 6))
        while report.stat().st_size < until and trainer.is_alive():
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.02))
        trainer.kill()
        trainer.join()
        assert trainer.exitcode == -signal.SIGKILL, "it ended before it was killed"
    steps_before = report.stat().st_size
    assert newest_checkpoint(folder, pytest.fail) is not None
    last = start_process(TRAIN, **values)
    last.join(60)
    assert last.exitcode == 0
    assert 0 < report.stat().st_size - steps_before < STEPS, "it began anew"

    resumed = train_here(tiny_cache, config, folder)
    whole = train_here(tiny_cache, config, tmp_path / "whole")
    assert resumed.reused
    assert state_sha256(resumed.trans.state_dict()) == state_sha256(whole.trans.state_dict())
    assert [step for step, _ in journal(resumed.history)] == list(range(1, STEPS + 1))
    assert journal(resumed.history) == journal(whole.history)
    for _ in range(2):  # as two trainers did that both came to send it
        run = open_run(embedded, "run", "part")
        replay(folder / "history.jsonl", run.run_id, run.client)
    [recorded] = run.client.search_runs(
        [run.client.get_experiment_by_name(embedded.experiment).experiment_id],
        "tags.`gtrans.run_key` = 'run'",
    )
    losses = run.client.get_metric_history(recorded.info.run_id, "train_loss")
    assert sorted(metric.step for metric in losses) == list(range(1, STEPS + 1))


STEP = """
import os, time
from gtrans_core.progress import Progress
from gtrans_core.steps import learning
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.reporting import run_step
from gtrans_core.steps.train import train
from gtrans_core.tracking import step_run

os.environ.clear()
os.environ.update(environment)
os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
advanced = Progress.advanced
def slowly(*now):
    advanced(*now)
    time.sleep(seconds_a_step)
Progress.advanced = slowly
learning.FLUSH_SECONDS = step_run.PATIENCE_S = 0.5
settings = RunContext("run", "part", store, "http://127.0.0.1:9", "gtrans")
with run_step("train", settings):
    train(settings, config, cache, model)
"""


@pytest.mark.slow
def test_told_to_go(tiny_cache, config_of, tmp_path: Path, start_process) -> None:
    """SIGTERM (an eviction): a checkpoint, exit code 75, one line; the same command goes on.

    MLflow cannot be reached all the while, which does not matter.
    """
    config = config_of(FEW_STEPS)
    reference = FeatureCacheRef(
        folder=str(tiny_cache.folder), key=tiny_cache.key, weights_sha256=tiny_cache.weights_sha256
    )
    (tmp_path / "cache.json").write_text(reference.model_dump_json())
    events, output = tmp_path / "events.jsonl", tmp_path / "output"
    values = {
        "environment": {**os.environ, ENVIRONMENT_VARIABLE: str(events)},
        "output": output,
        "store": str(tmp_path),
        "config": config.to_json(),
        "cache": tmp_path / "cache.json",
        "model": tmp_path / "model",
    }

    trainer = start_process(STEP, seconds_a_step=0.2, **values)
    while steps_done(events) < 3 and trainer.is_alive():
        time.sleep(0.01)
    trainer.terminate()
    trainer.join(30)
    assert trainer.exitcode == PreemptedError.exit_code == 75
    said = output.read_text()
    split = split_images(load_cache(tiny_cache.folder).digests, config)
    folder = tmp_path / "training" / training_key(tiny_cache.key, config, split)
    stopped = newest_checkpoint(folder, pytest.fail)
    assert stopped is not None
    assert 3 <= stopped.step < FEW_STEPS
    assert f"error: stopped at step {stopped.step} of {FEW_STEPS}; state is saved" in said
    assert "Traceback" not in said
    assert not (tmp_path / "model").exists()

    again = start_process(STEP, seconds_a_step=0, **values)
    again.join(120)
    said = output.read_text()
    assert again.exitcode == 0, said
    assert f"going on from the checkpoint at step {stopped.step} of {FEW_STEPS}" in said
    trained, info = load_trained(tmp_path / "model")
    whole = train_here(tiny_cache, config, tmp_path / "whole")
    assert info.resumed_at == stopped.step
    assert state_sha256(trained.trans.state_dict()) == state_sha256(whole.trans.state_dict())
    assert journal(info.history) == journal(whole.history)


def steps_done(events: Path) -> int:
    if not events.exists():
        return 0
    lines = [json.loads(line) for line in events.read_text().splitlines(keepends=False) if line]
    return max((line.get("done", 0) for line in lines), default=0)

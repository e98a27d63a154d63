"""The compiled drift pipeline, run by kfp.local on a real registry and real files of scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import gtrans.pipelines
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import detector_digest
from gtrans_core.progress import ENVIRONMENT_VARIABLE
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.registry.model import log_model
from gtrans_core.tracking.registry.registry import register
from gtrans_core.tracking.runs import open_run
from gtrans_core.watch.record import Watched, record_all

COMPILED = Path(gtrans.pipelines.__file__).parent / "compiled" / "local" / "drift.yaml"
HELD_OUT = tuple(1 + number / 100 for number in range(24))


@pytest.fixture(scope="module")
def store(detector_folder: Path, png: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store whose registry has version 1 of gtrans-bottle."""
    root = tmp_path_factory.mktemp("store")
    detector = Detector.load(detector_folder)
    facts = {"held_out_scores": HELD_OUT, "threshold": 1.22}
    detector.info = detector.info.model_copy(update=facts)
    detector.save(root / "detector")
    settings = TrackingAddress(f"sqlite:///{root}/mlflow.db", "gtrans")
    run = open_run(settings, "key", "bottle")
    uri = log_model(run.client, run.run_id, root / "detector", png)
    register(run.client, run.run_id, uri, "bottle", root / "detector", {})
    return root


def scored(store: Path, factor: float) -> None:
    """What is kept of the model's scores: the held-out ones, times a factor, four times."""
    model = Watched("bottle", 1, detector_digest(store / "detector"))
    today = datetime.now(UTC).date()
    record_all(store / "watch", model, "batch", [(today, s * factor) for s in HELD_OUT] * 4)


def run_pipeline(store: Path, scratch: Path, **parameters: object) -> tuple[int, list[dict]]:
    """The worker's exit code, and what the step reported."""
    place = {"store": str(store), "tracking_uri": f"sqlite:///{store}/mlflow.db"}
    request = {
        "compiled": str(COMPILED),
        "parameters": {"category": "bottle", **place, **parameters},
        "run_key": "scheduled-1",
        "artifacts": str(scratch / "artifacts"),
    }
    events = scratch / "events.jsonl"
    events.touch()
    worker = subprocess.Popen(
        [sys.executable, "-m", "gtrans.pipelines.embedded.local_worker"],
        env={
            **os.environ,
            ENVIRONMENT_VARIABLE: str(events),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "TMPDIR": str(scratch),
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=scratch,
        text=True,
        start_new_session=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(request) + "\n")
    worker.stdin.flush()
    code = worker.wait(timeout=200)
    worker.stdin.close()
    return code, [json.loads(line) for line in events.read_text().splitlines()]


@pytest.mark.slow
def test_it_passes_while_all_is_fine_and_fails_on_drift(store: Path, tmp_path: Path):
    scored(store, 1.0)
    (tmp_path / "fine").mkdir()
    code, events = run_pipeline(store, tmp_path / "fine")
    assert code == 0
    assert events[-1]["results"] == {"verdict": "fine"}

    scored(store, 3.0)
    (tmp_path / "drift").mkdir()
    code, events = run_pipeline(store, tmp_path / "drift")
    assert code != 0
    assert events[-1]["kind"] == "failed"
    assert events[-1]["exit_code"] == 20
    assert events[-1]["text"].startswith("gtrans-bottle version 1: retrain: ")

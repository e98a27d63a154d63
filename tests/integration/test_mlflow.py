"""MLflow for real: the embedded default and a server, with a real (small) detector.

What happens while it is down is in faults/test_mlflow_outage.py.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.detector.detector import Detector
from gtrans_core.tracking import client
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.journal import replay
from gtrans_core.tracking.registry import model
from gtrans_core.tracking.registry.model import log_model
from gtrans_core.tracking.registry.registry import fetch_model, register
from gtrans_core.tracking.runs import RunLogger, find_or_create_run, open_run
from tests.support import databases

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_folder")]


@pytest.fixture(scope="module", params=["embedded", "server"])
def settings(request, tmp_path_factory) -> TrackingAddress:
    if request.param == "server":
        return TrackingAddress(request.getfixturevalue("mlflow_server"), "tests")
    store = tmp_path_factory.mktemp("store")
    return TrackingAddress(f"sqlite:///{store}/mlflow.db", "tests", store / "artifacts")


class TestRecords:
    def test_a_run_from_several_steps(self, settings, detector_folder):
        train = open_run(settings, "key-1", "bottle")
        train.log_params({f"section.key{i}": i for i in range(120)})
        train.log_dataset(manifest("train"), manifest("test"))
        evaluate = open_run(settings, "key-1", "bottle")
        evaluate.log_metrics({"image_auroc": 0.99, "pixel_auroc": 0.97})
        evaluate.log_lineage({"git_sha": "abc"})
        evaluate.log_artifact_bytes("figures/roc.png", b"roc")
        evaluate.finish()
        assert train.run_id == evaluate.run_id
        run = train.client.get_run(train.run_id)
        assert run.info.status == "FINISHED"
        assert len(run.data.params) == 120
        assert run.data.metrics == {"image_auroc": 0.99, "pixel_auroc": 0.97}
        assert run.data.tags["gtrans.git_sha"] == "abc"
        assert len(run.inputs.dataset_inputs) == 2
        assert [f.path for f in train.client.list_artifacts(train.run_id, "figures")] == [
            "figures/roc.png"
        ]

    def test_replay_twice_changes_nothing(self, settings, tmp_path):
        run = open_run(settings, "key-2", "bottle")
        journal = tmp_path / "history.jsonl"
        write_journal(journal, 700)
        for _ in range(2):
            assert replay(journal, run.run_id, run.client) == 1400
        assert steps_of(run, "loss") == [
            (step, 1_000 + step, 1 / (step + 1)) for step in range(700)
        ]
        assert len(steps_of(run, "lr")) == 700

    def test_simultaneous_steps_share_one_run(self, settings, processes):
        """On a fresh experiment: two processes find no run and both make one."""
        code = (
            "import sys\n"
            "from gtrans_core.tracking.runs import TrackingAddress, find_or_create_run\n"
            "settings = TrackingAddress(sys.argv[1], 'race')\n"
            "print(find_or_create_run(settings, 'key-3', 'bottle'))\n"
        )
        steps = [
            processes.python("-c", code, settings.uri, stdout=subprocess.PIPE) for _ in range(2)
        ]
        answers = {step.communicate(timeout=120)[0].strip().decode() for step in steps}
        assert [step.returncode for step in steps] == [0, 0]
        final = find_or_create_run(TrackingAddress(settings.uri, "race"), "key-3", "bottle")
        assert final in answers


class TestNewDatabase:
    CODE = "import sys; from gtrans_core.tracking.client import connect; connect(sys.argv[1])"

    def test_set_up_by_two_processes_at_once(self, processes, tmp_path):
        uri = f"sqlite:///{tmp_path}/new/mlflow.db"
        steps = [
            processes.python("-c", self.CODE, uri, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        said = [step.communicate(timeout=120) for step in steps]
        assert [step.returncode for step in steps] == [0, 0], said
        assert said == [(b"", b"")] * 2

    def test_set_up_that_was_killed_is_done_again(self, processes, tmp_path, monkeypatch):
        monkeypatch.setattr(client, "_set_up_database", databases.make_tables)
        store = tmp_path / "new"
        killed = processes.python("-c", self.CODE, f"sqlite:///{store}/mlflow.db")
        wait_until(lambda: any(path.stat().st_size for path in store.glob(".setting-up-*/*.db")))
        killed.kill()
        killed.wait()
        assert not (store / "mlflow.db").exists()
        open_run(TrackingAddress(f"sqlite:///{store}/mlflow.db", "tests"), "key", "bottle")


class TestModels:
    def test_logged_registered_fetched(self, settings, detector_folder, png, tmp_path):
        run = open_run(settings, "key-4", "bottle")
        uri = log_model(run.client, run.run_id, detector_folder, png)
        assert log_model(run.client, run.run_id, detector_folder, png) == uri
        tags = {"image_auroc": "0.99"}
        made, created = register(run.client, run.run_id, uri, "bottle", detector_folder, tags)
        assert (made.name, made.version, created) == ("gtrans-bottle", 1, True)
        again, created_again = register(
            run.client, run.run_id, uri, "bottle", detector_folder, tags
        )
        assert (again.version, created_again) == (1, False)
        fetched = fetch_model(run.client, "models:/gtrans-bottle@challenger", tmp_path / "fetched")
        scores = [
            Detector.load(folder).predict_bytes([png])[0].score
            for folder in (detector_folder, fetched)
        ]
        assert scores[0] == scores[1]
        [output] = run.client.get_run(run.run_id).outputs.model_outputs
        logged = run.client.get_logged_model(output.model_id)
        assert uri == f"models:/{logged.model_id}"
        assert (str(logged.status), logged.source_run_id) == ("READY", run.run_id)

    def test_a_registered_detector_is_the_model_of_later_runs_too(
        self, settings, detector_folder, png, monkeypatch
    ):
        """Nobody would use a second copy: the same detector never makes a second version."""
        run = open_run(settings, "key-5", "bottle")
        uri = log_model(run.client, run.run_id, detector_folder, png)
        register(run.client, run.run_id, uri, "bottle", detector_folder, {})
        monkeypatch.setattr(model, "package", None)
        for key in ("key-6", "key-7"):
            later = open_run(settings, key, "bottle")
            assert log_model(later.client, later.run_id, detector_folder, png) == uri
            [output] = later.client.get_run(later.run_id).outputs.model_outputs
            assert uri == f"models:/{output.model_id}"


def manifest(split: str) -> Manifest:
    sample = Sample(path="a.png", sha256="0" * 64, defect="good", width=8, height=8)
    return Manifest(category="bottle", source="demo", split=split, root="/data", samples=(sample,))


def write_journal(path: Path, steps: int) -> None:
    """A journal of so many steps; a longer one begins with the bytes of a shorter one."""
    path.write_text(
        "".join(
            json.dumps(
                {"step": s, "time_ms": 1_000 + s, "values": {"loss": 1 / (s + 1), "lr": 0.1}}
            )
            + "\n"
            for s in range(steps)
        )
    )


def steps_of(run: RunLogger, name: str) -> list[tuple[int, int, float]]:
    history = run.client.get_metric_history(run.run_id, name)
    return sorted((metric.step, metric.timestamp, metric.value) for metric in history)


def wait_until(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)

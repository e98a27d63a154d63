"""Promotion on real registries: embedded, an MLflow server, and one on PostgreSQL."""

from __future__ import annotations

import multiprocessing
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from gtrans.pipelines.gates import load_gate
from gtrans_core.errors import GateError, ModelError, SupersededError
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.promotion.ledger import LEDGER_PREFIX
from gtrans_core.tracking.promotion.promotion import promote, read_history, rollback
from gtrans_core.tracking.registry.registry import fetch_model, register
from gtrans_core.tracking.runs import open_run
from tests.support import forks
from tests.support.records import evaluation_record

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_folder")]

REGISTRIES = ["embedded", "server", "postgresql"]
ROUNDS = 5


@pytest.fixture(scope="module")
def postgresql_server(processes, tmp_path_factory, postgresql) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("postgresql"), processes.free_port()
    with processes.mlflow_server(folder, port, postgresql.uri) as uri:
        yield uri


@pytest.fixture(scope="module", params=REGISTRIES)
def settings(request, tmp_path_factory) -> TrackingAddress:
    if request.param == "embedded":
        store = tmp_path_factory.mktemp("store")
        return TrackingAddress(f"sqlite:///{store}/mlflow.db", "tests", store / "artifacts")
    fixture = {"server": "mlflow_server", "postgresql": "postgresql_server"}[request.param]
    return TrackingAddress(request.getfixturevalue(fixture), "tests")


@dataclass
class Plant:
    """A category of its own, and a way to register detectors in it."""

    settings: TrackingAddress
    detector: Path
    category: str

    def __post_init__(self) -> None:
        self.run = open_run(self.settings, self.category, self.category)
        self.client = self.run.client

    @property
    def name(self) -> str:
        return f"gtrans-{self.category}"

    def register(self, image_auroc: float, scratch: Path) -> int:
        """A detector of its own; that its code is not logged along saves seconds."""
        folder = scratch / uuid4().hex
        folder.mkdir()
        for path in self.detector.iterdir():
            data = path.read_bytes()
            if path.suffix == ".json":
                data = data.replace(b'"training_key": "key"', b'"training_key": "%f"' % image_auroc)
                data = data.replace(b'"bottle"', f'"{self.category}"'.encode())
            (folder / path.name).write_bytes(data)
        experiment = self.client.get_run(self.run.run_id).info.experiment_id
        model = self.client.create_logged_model(experiment, "detector", self.run.run_id)
        self.client.log_model_artifacts(model.model_id, str(folder), "artifacts/detector")
        uri = f"models:/{model.model_id}"
        evidence = {
            "data_digest": "d" * 64,
            "test_images": "80",
            "metric.image_auroc": f"{image_auroc:.6f}",
        }
        made, created = register(self.client, self.run.run_id, uri, self.category, folder, evidence)
        assert created
        return made.version

    def log_evaluation(self) -> None:
        """What a pipeline's run has, and a release folder is made from."""
        record = evaluation_record(category=self.category)
        self.run.log_artifact_bytes("record.json", record.model_dump_json().encode())
        self.run.log_artifact_bytes("report.html", b"<html>")

    def champion(self) -> int:
        return int(self.client.get_model_version_by_alias(self.name, "champion").version)

    def moves(self) -> list[tuple[int | None, int]]:
        found = read_history(self.client, self.category).moves
        return [(recorded.move.previous, recorded.move.champion) for recorded in found]


@pytest.fixture
def plant(settings, detector_folder) -> Plant:
    return Plant(settings, detector_folder, f"c{uuid4().hex[:8]}")


def test_promoted_refused_rolled_back(plant, tmp_path):
    gate = load_gate()
    first = plant.register(0.95, tmp_path)
    promote(plant.client, plant.category, gate)
    second = plant.register(0.97, tmp_path)
    promote(plant.client, plant.category, gate, why="more light")
    plant.register(0.93, tmp_path)
    with pytest.raises(GateError, match=r"0\.9300: expected at least 0\.9700"):
        promote(plant.client, plant.category, gate)
    assert plant.champion() == second
    started = time.monotonic()
    assert rollback(plant.client, plant.category).champion == first
    seconds = time.monotonic() - started
    sys.stderr.write(f"rollback: {seconds:.2f} s\n")  # shown with -s
    assert seconds < 5
    assert plant.moves() == [(None, first), (first, second), (second, first)]
    fetch_model(plant.client, f"models:/{plant.name}@champion", tmp_path / "fetched")


def test_a_damaged_predecessor_is_refused(plant, tmp_path):
    gate = load_gate()
    plant.register(0.95, tmp_path)
    promote(plant.client, plant.category, gate)
    second = plant.register(0.97, tmp_path)
    promote(plant.client, plant.category, gate)
    uri = plant.client.get_model_version(plant.name, "1").source
    [model_id] = re.findall(r"m-[0-9a-f]{32}", uri)
    bad = tmp_path / "detector.json"
    bad.write_text("{}")
    plant.client.log_model_artifact(model_id, str(bad), "artifacts/detector")
    with pytest.raises(ModelError, match=r"/1: file detector\.json was changed"):
        rollback(plant.client, plant.category)
    assert plant.champion() == second


PROMOTE = """
from gtrans.pipelines.gates import load_gate
from gtrans_core.errors import GTransError
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.promotion.promotion import promote

client, gate = connect(uri), load_gate()
client.get_registered_model("gtrans-" + category)
person.send("ready")
for version in versions:
    person.recv()
    try:
        promote(client, category, gate, version)
        person.send("promoted")
    except GTransError as error:
        person.send(type(error).__name__)
"""


def test_two_processes_at_once_the_better_one_wins(plant, start_process, tmp_path):
    """Fault 16, with whatever order the machine happens to give."""
    pairs = []
    for number in range(ROUNDS):
        better = plant.register(0.97 + 0.001 * number, tmp_path)
        worse = plant.register(0.93 + 0.001 * number, tmp_path)
        pairs.append((better, worse))
    uri, category = plant.settings.uri, plant.category
    promoters, processes = [], []
    for versions in zip(*pairs, strict=True):
        promoter, person = multiprocessing.Pipe()
        promoters.append(promoter)
        values = {"uri": uri, "category": category, "versions": versions, "person": person}
        processes.append(start_process(PROMOTE, **values))
    assert [promoter.recv() for promoter in promoters] == ["ready"] * 2
    answers = []
    for better, _worse in pairs:
        for promoter in promoters:
            promoter.send("go")
        said = [promoter.recv() for promoter in promoters]
        answers.append(said)
        assert said[0] == "promoted"
        assert said[1] in ("promoted", SupersededError.__name__, GateError.__name__)
        assert plant.champion() == better
    for process in processes:
        process.join(60)
    made = plant.moves()
    assert [previous for previous, _ in made] == [None, *(champion for _, champion in made[:-1])]
    assert len({champion for _, champion in made}) == len(made)
    sys.stderr.write(f"{plant.settings.uri} {answers}\n")  # shown with -s


APPEND = """
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.promotion.ledger import Move, append_move

client = connect(uri)
for number in range(10):
    move = Move(kind="promote", champion=version, previous=None, after=0,
                token=f"{who}-{number}", who=who, when="now")
    append_move(client, category, move)
"""


def test_several_hosts_append_and_each_number_is_given_once(plant, start_process, tmp_path):
    """What the ledger rests on: MLflow hands out a version's number once, whole with its tags."""
    version = plant.register(0.95, tmp_path)
    promote(plant.client, plant.category, load_gate())
    values = {"uri": plant.settings.uri, "category": plant.category, "version": version}
    hosts = [start_process(APPEND, who=f"host-{i}", **values) for i in range(2)]
    for host in hosts:
        host.join(120)
    assert [host.exitcode for host in hosts] == [0, 0]
    name = LEDGER_PREFIX + plant.category
    found = plant.client.search_model_versions(f"name = '{name}'")
    assert sorted(int(version.version) for version in found) == list(range(1, 22))
    assert all("gtrans.move" in version.tags for version in found)
    assert len(plant.moves()) == 1  # they all had seen nothing


class TestCommands:
    @pytest.fixture
    def profile(self, settings, tmp_path) -> Path:
        path = tmp_path / "plant.toml"
        path.write_text(
            f'store = "{tmp_path}/store"\ntracking_uri = "{settings.uri}"\n'
            'unsigned_models = "allow"\n'
        )
        return path

    def gtrans(self, *arguments: Any) -> subprocess.CompletedProcess[str]:
        return forks.gtrans(*arguments, cwd=Path.cwd(), COLUMNS="160")

    def test_promote_rollback_history(self, plant, profile, tmp_path):
        place = ("--profile", profile)
        plant.log_evaluation()
        plant.register(0.95, tmp_path)
        done = self.gtrans("promote", plant.category, *place, "--why", "the first")
        assert done.returncode == 0, done.stderr
        assert f"{plant.name} version 1 is the champion (was: none)" in done.stdout
        plant.register(0.89, tmp_path)
        refused = self.gtrans("promote", plant.category, *place)
        assert refused.returncode == 12
        assert refused.stderr.startswith(f"error: {plant.name} version 2 is not promoted: image")
        assert refused.stderr.count("\n") == 1
        plant.register(0.96, tmp_path)
        assert self.gtrans("promote", plant.category, *place).returncode == 0
        started = time.monotonic()
        back = self.gtrans("rollback", plant.category, *place, "--why", "odd [scores]")
        seconds = time.monotonic() - started
        assert back.returncode == 0, back.stderr
        sys.stderr.write(f"gtrans rollback: {seconds:.1f} s\n")  # shown with -s
        assert self.gtrans("rollback", plant.category, *place).returncode == 8
        told = self.gtrans("history", plant.category, *place).stdout
        assert "odd [scores]" in told
        assert [line.split()[2:5] for line in told.splitlines()[2:]] == [
            ["promote", "none", "1"],
            ["promote", "1", "3"],
            ["rollback", "3", "1"],
        ]

"""MLflow for real: the embedded default and a server, with a real (small) detector."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import gtrans_core
from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.detector import Detector, DetectorInfo
from gtrans_core.network.build import build_trans
from gtrans_core.network.scorer import Scorer
from gtrans_core.tracking.client import TrackingSettings
from gtrans_core.tracking.journal import JournalFlusher, replay
from gtrans_core.tracking.model import REQUIREMENTS, log_model, package
from gtrans_core.tracking.registry import fetch_model, register
from gtrans_core.tracking.runs import RunLogger, find_or_create_run, open_run
from gtrans_core.weights import load_guide

pytestmark = pytest.mark.slow

SOURCES = Path(gtrans_core.__file__).parents[1]
CONFIG = GTransConfig.model_validate(
    {
        "image": {"size": 64},
        "agn": {"backbone": "test_efficientnet", "weights": "random:0"},
        "trans": {"token_width": 16},
    }
)


@pytest.fixture(scope="module")
def detector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detector")
    guide = load_guide(CONFIG.agn, folder)
    torch.manual_seed(0)
    trans = build_trans(guide.agn.spec, CONFIG)
    info = DetectorInfo(
        category="bottle",
        config=CONFIG,
        threshold=0.5,
        held_out_scores=(0.1, 0.2),
        data_digest="0" * 64,
        training_key="key",
        weights_sha256=guide.weights_sha256,
    )
    Detector(Scorer(guide.agn, trans, CONFIG.scoring), info).save(folder)
    return folder


@pytest.fixture(scope="module")
def png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (80, 90, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    with mlflow_server(tmp_path_factory.mktemp("server"), port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module", params=["embedded", "server"])
def settings(request, tmp_path_factory) -> TrackingSettings:
    if request.param == "server":
        return TrackingSettings(request.getfixturevalue("server"), "tests")
    store = tmp_path_factory.mktemp("store")
    return TrackingSettings(f"sqlite:///{store}/mlflow.db", "tests", store / "artifacts")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    """MLflow likes to leave files where it runs; ours must not."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield
    assert list(here.iterdir()) == []


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

    def test_simultaneous_steps_share_one_run(self, settings):
        """On a fresh experiment: two processes find no run and both make one."""
        code = (
            "import sys\n"
            "from gtrans_core.tracking.runs import TrackingSettings, find_or_create_run\n"
            "settings = TrackingSettings(sys.argv[1], 'race')\n"
            "print(find_or_create_run(settings, 'key-3', 'bottle'))\n"
        )
        steps = [python("-c", code, settings.uri, stdout=subprocess.PIPE) for _ in range(2)]
        answers = {step.communicate(timeout=120)[0].strip().decode() for step in steps}
        assert [step.returncode for step in steps] == [0, 0]
        final = find_or_create_run(TrackingSettings(settings.uri, "race"), "key-3", "bottle")
        assert final in answers


def test_two_processes_set_up_one_new_database(tmp_path):
    code = "import sys; from gtrans_core.tracking.client import connect; connect(sys.argv[1])"
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    steps = [python("-c", code, uri, stderr=subprocess.PIPE) for _ in range(2)]
    said = [step.communicate(timeout=120)[1].decode() for step in steps]
    assert [step.returncode for step in steps] == [0, 0], said
    assert said == ["", ""]


class TestOutage:
    def test_server_that_starts_late_gets_everything_once(self, tmp_path):
        """As in a training: the steps go on, the journal grows, MLflow comes up in the middle."""
        port = free_port()
        settings = TrackingSettings(f"http://127.0.0.1:{port}", "tests")
        journal = tmp_path / "history.jsonl"
        write_journal(journal, 50)
        flusher = JournalFlusher(journal, lambda: open_run(settings, "key", "bottle"), 0.2)
        time.sleep(1)
        write_journal(journal, 100)
        with mlflow_server(tmp_path, port):
            assert flusher.close(timeout_s=120)
            run = open_run(settings, "key", "bottle")
            assert replay(journal, run.run_id, run.client) == 200
            assert [step for step, *_ in steps_of(run, "loss")] == list(range(100))

    def test_server_that_dies_in_between(self, tmp_path):
        port = free_port()
        settings = TrackingSettings(f"http://127.0.0.1:{port}", "tests")
        journal = tmp_path / "history.jsonl"
        with mlflow_server(tmp_path, port):
            run = open_run(settings, "key", "bottle")
            flusher = JournalFlusher(journal, lambda: run, 0.2)
            write_journal(journal, 50)
            deadline = time.monotonic() + 60
            while len(steps_of(run, "loss")) < 50:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        write_journal(journal, 100)
        assert not flusher.close(timeout_s=2)
        with mlflow_server(tmp_path, port):
            replay(journal, run.run_id, run.client)
            assert [step for step, *_ in steps_of(run, "loss")] == list(range(100))
            run.finish()
            assert run.client.get_run(run.run_id).info.status == "FINISHED"


class TestModels:
    def test_logged_registered_fetched(self, settings, detector_folder, png, tmp_path):
        run = open_run(settings, "key-4", "bottle")
        uri = log_model(run.client, run.run_id, detector_folder, png)
        assert log_model(run.client, run.run_id, detector_folder, png) == uri
        tags = {"image_auroc": "0.99"}
        made = register(run.client, run.run_id, uri, "bottle", detector_folder, tags)
        assert (made.name, made.version, made.created) == ("gtrans-bottle", 1, True)
        again = register(run.client, run.run_id, uri, "bottle", detector_folder, tags)
        assert (again.version, again.created) == (1, False)
        fetched = fetch_model(run.client, "models:/gtrans-bottle@challenger", tmp_path / "fetched")
        scores = [
            Detector.load(folder).predict_bytes([png])[0].score
            for folder in (detector_folder, fetched)
        ]
        assert scores[0] == scores[1]

    def test_run_shows_its_model(self, settings, detector_folder, png):
        run = open_run(settings, "key-5", "bottle")
        uri = log_model(run.client, run.run_id, detector_folder, png)
        [output] = run.client.get_run(run.run_id).outputs.model_outputs
        model = run.client.get_logged_model(output.model_id)
        assert uri == f"models:/{model.model_id}"
        assert (str(model.status), model.source_run_id) == ("READY", run.run_id)


@dataclass
class Answer:
    status: int
    body: dict


class TestPackage:
    @pytest.fixture(scope="class")
    def packaged(self, detector_folder, png, tmp_path_factory) -> Path:
        folder = tmp_path_factory.mktemp("packaged") / "model"
        package(detector_folder, png, folder)
        return folder

    def test_plain_files_only(self, packaged):
        names = {path.relative_to(packaged).as_posix() for path in packaged.rglob("*")}
        assert {"MLmodel", "artifacts/detector/detector.json"} <= names
        assert {"served_model.py", "code/gtrans_core/detector.py", "requirements.txt"} <= names
        assert not [n for n in names if n.endswith((".pkl", ".pt", ".bin", ".pyc"))]

    def test_names_no_path_of_this_machine(self, packaged, detector_folder):
        for name in ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt"):
            text = (packaged / name).read_text()
            for path in (SOURCES, detector_folder, packaged, Path.home()):
                assert str(path) not in text

    def test_works_elsewhere_without_pickle(self, packaged, detector_folder, png, tmp_path):
        """In a fresh process that has only what the model brings along and its requirements."""
        (tmp_path / "image.png").write_bytes(png)
        code = f"""
import importlib.metadata, json, re, sys
import pandas as pd, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
image = open(sys.argv[2], "rb").read()
table = model.predict(pd.DataFrame({{"image": [image]}}), params={{"return_map": True}})
import gtrans_core

def closure(names):
    todo, seen = list(names), set()
    while todo:
        name = re.match(r"[\\w.-]+", todo.pop()).group().lower().replace("_", "-")
        if name not in seen:
            seen.add(name)
            try:
                todo += [r for r in importlib.metadata.requires(name) or () if "extra ==" not in r]
            except importlib.metadata.PackageNotFoundError:
                pass
    return seen

homes = importlib.metadata.packages_distributions()
loaded = {{m.partition(".")[0] for m in sys.modules}}
used = {{d.lower().replace("_", "-") for m in loaded for d in homes.get(m, ())[:1]}}
print(json.dumps({{
    "score": table["score"].item(),
    "map": bytes(table["heat_map_png"].item()[:4]).hex(),
    "code": gtrans_core.__file__,
    "not required": sorted(used - closure({REQUIREMENTS!r})),
}}))
"""
        result = subprocess.run(
            [sys.executable, "-c", code, str(packaged), str(tmp_path / "image.png")],
            env={"PATH": os.environ["PATH"], "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
            | {"MLFLOW_DISABLE_TELEMETRY": "true"},
            capture_output=True,
            check=False,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        found = json.loads(result.stdout.splitlines()[-1])
        expected = Detector.load(detector_folder).predict_bytes([png])[0].score
        assert found["score"] == pytest.approx(expected, rel=1e-6)
        assert found["map"] == "89504e47"
        assert Path(found["code"]).is_relative_to(packaged)
        assert found["not required"] == []

    @pytest.fixture(scope="class")
    def endpoint(self, packaged) -> Iterator[str]:
        port = free_port()
        command = ["-m", "mlflow", "models", "serve", "-m", str(packaged), "--env-manager", "local"]
        process = python(
            *command, "-h", "127.0.0.1", "-p", str(port), "-w", "1", start_new_session=True
        )
        with running(process, f"http://127.0.0.1:{port}/ping"):
            yield f"http://127.0.0.1:{port}/invocations"

    def test_serves_over_json(self, endpoint, detector_folder, png):
        text = base64.b64encode(png).decode()
        answer = post(endpoint, [{"image": text}], return_map=True)
        assert answer.status == 200
        [row] = answer.body["predictions"]
        expected = Detector.load(detector_folder).predict_bytes([png])[0]
        assert row["score"] == pytest.approx(expected.score, rel=1e-6)
        assert row["is_anomalous"] is expected.is_anomalous
        drawn = Image.open(io.BytesIO(base64.b64decode(row["heat_map_png"])))
        assert drawn.size == (64, 64)

    def test_answers_mistakes_with_a_reason(self, endpoint, png):
        text = base64.b64encode(png).decode()
        for rows, reason in [
            ([{"picture": text}], "missing inputs"),
            ([{"image": "no base64!"}], "image"),
            ([{"image": base64.b64encode(png[:500]).decode()}], "image 1: damaged or cut short"),
            ([{"image": text}] * 200, "200 images in one request"),
            ([], "missing inputs"),
        ]:
            answer = post(endpoint, rows)
            assert 400 <= answer.status < 500, (reason, answer)
            assert reason in answer.body["message"]
        assert post(endpoint, [{"image": text}]).status == 200


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


def post(url: str, rows: list[dict[str, str]], **params: bool) -> Answer:
    body = json.dumps({"dataframe_records": rows, "params": params}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Answer(response.status, json.load(response))
    except urllib.error.HTTPError as error:
        return Answer(error.code, json.load(error))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[None]:
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    with (folder / "server.log").open("ab") as log:
        process = python(*command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        with running(process, f"http://127.0.0.1:{port}/health"):
            yield


@contextmanager
def running(process: subprocess.Popen[bytes], url: str, seconds: float = 120) -> Iterator[None]:
    """Wait until a server answers; end it and its children afterwards."""
    try:
        deadline = time.monotonic() + seconds
        while not answers(url):
            assert process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except OSError:
        return False


def python(*arguments: str, **options) -> subprocess.Popen[bytes]:
    environment = os.environ | {
        "PYTHONPATH": str(SOURCES),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    return subprocess.Popen([sys.executable, *arguments], env=environment, **options)

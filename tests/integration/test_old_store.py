"""A store of an earlier version: every file and record of it is used as that version used it."""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
import yaml
from typer.testing import CliRunner

from gtrans.cli.main import app
from gtrans_core.config import GTransConfig
from gtrans_core.data.layout import scan_category
from gtrans_core.detector.detector import Detector
from gtrans_core.features.cache import build_cache, load_cache
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.weights import load_guide
from gtrans_core.network.backbone import backbone_spec
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.registry.registry import fetch_model
from gtrans_core.training import key, loop
from tests.support.old_store import FIXTURE, expected, unpack

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPECTED = expected()
HALF = EXPECTED["half"]
CONFIG = GTransConfig.from_json(HALF["config"])
SAME_MACHINE = (EXPECTED["cpu"], EXPECTED["torch"]) == (
    torch.backends.cpu.get_cpu_capability(),
    torch.__version__,
)
"""Another kind of CPU, or another torch, rounds otherwise: then close is all that can be asked."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Path:
    """For tests that change nothing."""
    folder = tmp_path_factory.mktemp("plant")
    unpack(folder)
    return folder


@pytest.fixture
def own_plant(tmp_path) -> Path:
    unpack(tmp_path)
    return tmp_path


def gtrans(plant: Path, *arguments: str) -> str:
    store = ["--store", str(plant / "gtrans-store")]
    result = CliRunner().invoke(app, [*arguments, *store], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def test_its_size_stays_small():
    assert (FIXTURE / "store.tar.xz").stat().st_size < 2_000_000


def test_the_feature_cache_is_a_hit(plant):
    train, _ = scan_category(plant / "parts/part", "part", "folder", lambda *_: None)
    guide = load_guide(CONFIG.agn, plant / "weights")
    identity = cache_identity(train, guide.agn.spec, guide.weights_sha256, CONFIG.image)
    report = build_cache(plant / "gtrans-store/cache", identity, train, guide.agn, lambda *_: None)
    assert (report.key, report.reused) == (HALF["cache_key"], True)


def test_the_training_has_the_same_key(monkeypatch):
    monkeypatch.setattr(key.torch, "__version__", EXPECTED["torch"])
    assert key.training_key(HALF["cache_key"], CONFIG) == HALF["training_key"]


def test_half_a_training_goes_on_to_the_same_weights(own_plant):
    store = own_plant / "gtrans-store"
    result = loop.train_trans(
        load_cache(store / "cache" / HALF["cache_key"]),
        backbone_spec(CONFIG.agn.backbone, CONFIG.agn.taps),
        CONFIG,
        store / "training" / HALF["training_key"],
        on_progress=lambda *_: None,
        say=print,
        stop_requested=lambda: False,
    )
    assert (result.resumed_at, result.steps) == (HALF["resumed_at"], HALF["steps"])
    state = result.trans.state_dict()
    if SAME_MACHINE:
        assert digest(state) == HALF["weights_sha256"]
    sums = {name: float(tensor.double().abs().sum()) for name, tensor in state.items()}
    assert sums == pytest.approx(HALF["weights_abs_sums"], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("version", ["1", "2"])
def test_registered_models_score_as_before(plant, tmp_path, version):
    folder = fetch_model(record(plant), f"models:/gtrans-part/{version}", tmp_path)
    detector = Detector.load(folder)
    before = EXPECTED["versions"][version]
    found = detector.predict_bytes(images(plant))
    assert (detector.info.engine, detector.info.threshold) == (
        before["engine"],
        before["threshold"],
    )
    assert [p.is_anomalous for p in found] == before["flagged"]
    assert [p.score for p in found] == close_to(before["own"])


@pytest.mark.slow
@pytest.mark.parametrize("installed_first", [True, False])
def test_mlflow_loads_them_as_before(plant, installed_first):
    """Their script imports old names: from what is installed, or from the copy that they bring."""
    code = f"""
import json, sys
if {installed_first}:
    import gtrans_core
import mlflow, pandas as pd
models, files = json.loads(sys.argv[1])
images = pd.DataFrame({{"image": [open(file, "rb").read() for file in files]}})
scores = []
for folder in models:
    model = mlflow.pyfunc.load_model(folder)
    table = model.predict(images, params={{"return_map": True}})
    assert all(text.startswith("iVBO") for text in table["heat_map_png"])
    scores.append(table["score"].tolist())
import gtrans_core
print(json.dumps([gtrans_core.__file__.startswith(models[0]), scores]))
"""
    models = [str(path) for path in sorted(plant.glob("gtrans-store/artifacts/models/*/artifacts"))]
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps([models, [str(path) for path in files(plant)]])],
        env={"PATH": os.environ["PATH"], "MLFLOW_DISABLE_TELEMETRY": "true"}
        | {"GTRANS_UNSIGNED_MODELS": "allow", "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=plant,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    from_the_model, scores = json.loads(result.stdout.splitlines()[-1])
    assert from_the_model is not installed_first
    before = [EXPECTED["versions"][version]["pyfunc"] for version in ("1", "2")]
    assert sorted(scores) == [close_to(values) for values in sorted(before)]


def test_champion_and_history_are_known_and_a_rollback_finds_its_way(own_plant):
    assert moves(EXPECTED["history"]) <= moves(gtrans(own_plant, "history", "part"))
    assert holder(own_plant, "champion") == 2
    assert "gtrans-part version 1 is the champion (was: version 2)" in gtrans(
        own_plant, "rollback", "part"
    )
    assert holder(own_plant, "champion") == 1


def test_drift_reads_the_scores_kept(plant):
    found = json.loads(gtrans(plant, "drift", "part", "--json"))
    assert found == EXPECTED["drift"] | {"reason": "the scores look as they did"}


def test_a_run_is_registered_again_as_the_same_version(own_plant, tmp_path):
    [evaluation] = (own_plant / "gtrans-store/runs").glob("*/artifacts/*/evaluate/evaluation")
    (evaluation / "report.html").write_text("left out of the fixture")
    gtrans(own_plant, "register", "--from", str(evaluation.parent))
    assert holder(own_plant, "challenger") == 1
    assert len(record(own_plant).search_model_versions("name = 'gtrans-part'")) == 2


def test_steps_take_what_a_stored_pipeline_hands_them(plant):
    """A schedule on a cluster keeps the code of its components; they call this package."""
    text = (plant / "pipeline.yaml").read_text()
    executors = next(yaml.safe_load_all(text))["deploymentSpec"]["executors"].values()
    sources = ["\n".join(executor["container"]["command"]) for executor in executors]
    called = set()
    for source in sources:
        body = source[source.index("\ndef ") :]
        tree = ast.parse(body)
        names = {
            alias.asname or alias.name: getattr(importlib.import_module(node.module), alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module.startswith("gtrans")
            for alias in node.names
        }
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Name) and call.func.id in names:
                keywords = {keyword.arg: None for keyword in call.keywords}
                signature = inspect.signature(names[call.func.id])
                unpacked = any(isinstance(argument, ast.Starred) for argument in call.args)
                bind = signature.bind_partial if unpacked else signature.bind
                bind(*call.args, **keywords)
                called.add(names[call.func.id].__name__)
    assert called >= {"ingest", "cache_features", "train", "evaluate", "register", "run_step"}


def record(plant: Path) -> MlflowClient:
    return connect(f"sqlite:///{plant}/gtrans-store/mlflow.db")


def holder(plant: Path, alias: str) -> int:
    return int(record(plant).get_model_version_by_alias("gtrans-part", alias).version)


def files(plant: Path) -> list[Path]:
    return sorted((plant / "parts/part/test").rglob("*.png"))


def images(plant: Path) -> list[bytes]:
    return [path.read_bytes() for path in files(plant)]


def close_to(scores: list[float]) -> object:
    return scores if SAME_MACHINE else pytest.approx(scores, rel=1e-4)


def digest(state: dict[str, torch.Tensor]) -> str:
    """sha256 over names and bytes of all weights."""
    found = hashlib.sha256()
    for name in sorted(state):
        found.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def moves(history: str) -> set[str]:
    """When each move was, who made it, and the metrics, whatever the table's columns and widths."""
    return set(re.findall(r"\d[\d.:T-]+|plant|promote", history))

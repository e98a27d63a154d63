"""No leakage by construction: nothing before evaluate can read the test split.

The same steps are run with the test images gone after ingest; what they make is the same, bit for
bit. The graph's wiring (which component is handed what) is tested in tests/unit/pipelines.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import get_args

import yaml

import gtrans.pipelines
from gtrans_core.config import TrainingConfig, load_config
from gtrans_core.data.sources.demo import generate_demo
from gtrans_core.steps.cache_features import cache_features
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.ingest import ingest
from gtrans_core.steps.train import train

COMPILED = Path(gtrans.pipelines.__file__).parent / "compiled" / "local" / "category.yaml"


def trained(folder: Path, data: Path, *, hide_test: bool) -> dict[str, str]:
    """Digests of what training wrote; with ``hide_test`` the test split is gone after ingest."""
    settings = RunContext("run", "part", str(folder), f"sqlite:///{folder / 'mlflow.db'}", "test")
    config = load_config(
        None,
        [
            "agn.backbone=test_efficientnet",
            "agn.weights=random:0",
            "trans.backbone=test_resnet",
            "trans.token_width=16",
            "training.epochs=1",
            "image.size=64",
        ],
    ).to_json()
    ingest(settings, str(data), config, folder / "train.json", folder / "test.json")
    if hide_test:
        shutil.rmtree(data / "part" / "test")
        shutil.rmtree(data / "part" / "ground_truth")
        (folder / "test.json").unlink()
    cache_features(settings, config, folder / "train.json", folder / "features.json")
    train(settings, config, folder / "features.json", folder / "model")
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "model").glob("*.safetensors"))
    }


def test_training_is_the_same_where_there_is_no_test_split(tmp_path: Path):
    generate_demo(tmp_path / "a" / "part", test_good=4, per_defect=1, size=64)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    whole = trained(tmp_path / "whole", tmp_path / "a", hide_test=False)
    blind = trained(tmp_path / "blind", tmp_path / "b", hide_test=True)
    assert blind == whole
    assert set(whole) == {f"{part}.safetensors" for part in ("trans", "scene", "memory")}


def test_only_evaluate_is_handed_the_test_split():
    """Everything that a component gets is an input of its task in the compiled pipeline."""
    graph = next(yaml.safe_load_all(COMPILED.read_text(encoding="utf-8")))
    makers = {
        task: [
            value["taskOutputArtifact"]
            for value in spec.get("inputs", {}).get("artifacts", {}).values()
        ]
        for task, spec in graph["root"]["dag"]["tasks"].items()
    }
    readers = {
        task
        for task, inputs in makers.items()
        if any("test" in source["outputArtifactKey"] for source in inputs)
    }
    assert readers == {"evaluate"}
    # Nor do they get there by way of the images' folder: only ingest is told the source.
    told = {
        task
        for task, spec in graph["root"]["dag"]["tasks"].items()
        if "source" in spec.get("inputs", {}).get("parameters", {})
    }
    assert told == {"ingest"}


def test_no_knob_selects_on_the_test_split():
    choices = TrainingConfig.model_fields["selection"].annotation
    assert set(get_args(choices)) == {"last", "best_held_out"}

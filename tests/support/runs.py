"""The five steps of one pipeline run, in this process, on a tiny category: a run in seconds."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gtrans_core.evaluation.gate import Gate
from gtrans_core.steps.context import RunContext
from gtrans_core.storage import write_atomic
from tests.support.tiny import tiny_config

CATEGORY = "part"
FAST = (
    "training.epochs=2",
    "scoring.engine=torch",
    "evaluation.examples_per_defect=1",
)
"""What a whole run needs beside the tiny config."""
STEPS = ("ingest", "cache_features", "train", "evaluate", "register")
OPEN_GATE = Gate(
    floors={},
    minimum_gain={},
    maximum_loss_per_defect={},
    minimum_test_images=1,
    same_data_as_champion=False,
    as_many_test_images_as_champion=False,
)


@dataclass(frozen=True)
class TinyRun:
    """One pipeline run; called again with the same key, it is the same run, as after a retry.

    Attributes:
        root: folder with ``data/part``, ``store`` and ``runs/KEY``, where steps hand things on.
        key: the run's key.
        tracking_uri: empty: the database in the store.
        overrides: of the tiny config.
        source: what ingest reads; empty: ``data/part``.
    """

    root: Path
    key: str = "run"
    tracking_uri: str = ""
    overrides: tuple[str, ...] = ()
    source: str = ""

    @property
    def settings(self) -> RunContext:
        uri = self.tracking_uri or f"sqlite:///{self.root}/store/mlflow.db"
        return RunContext(self.key, CATEGORY, str(self.root / "store"), uri, "gtrans")

    @property
    def folder(self) -> Path:
        return self.root / "runs" / self.key

    @property
    def config(self) -> str:
        return tiny_config(*FAST, *self.overrides).to_json()

    def go(self, *steps: str) -> None:
        """Do these steps (all, by default), each as its component does."""
        from gtrans_core.steps.reporting import run_step

        for step in steps or STEPS:
            with run_step(step, self.settings):
                getattr(self, step)()

    def ingest(self) -> None:
        from gtrans_core.steps.ingest import ingest

        source = self.source or str(self.root / "data" / CATEGORY)
        digest = ingest(self.settings, source, self.config, self.path("train"), self.path("test"))
        write_atomic(self.path("digest"), digest.encode())

    def cache_features(self) -> None:
        from gtrans_core.steps.cache_features import cache_features

        cache_features(self.settings, self.config, self.path("train"), self.path("cache"))

    def train(self) -> None:
        from gtrans_core.steps.train import train

        train(self.settings, self.config, self.path("cache"), self.path("model"))

    def evaluate(self) -> None:
        from gtrans_core.steps.evaluate import evaluate

        names = ("model", "cache", "train", "test", "detector", "report.html", "evaluation")
        paths = (self.path(name) for name in names)
        digest = self.path("digest").read_text()
        evaluate(self.settings, self.config, OPEN_GATE.to_json(), digest, *paths)

    def register(self) -> None:
        from gtrans_core.steps.register import register

        folders = self.path("detector"), self.path("evaluation")
        register(self.settings, OPEN_GATE.to_json(), "allow", *folders)

    def path(self, name: str) -> Path:
        return self.folder / name


def write_part(root: Path, train: int = 11, test: int = 2) -> Path:
    """``root/data/part``: good noise, and as many test images with a bright dent as without."""
    rng = np.random.default_rng(0)
    folder = root / "data" / CATEGORY

    def image(name: str, dent: bool = False) -> None:
        pixels = rng.integers(60, 160, (64, 64, 3), dtype=np.uint8)
        pixels[20:40, 20:40] = 255 if dent else pixels[20:40, 20:40]
        save(folder / name, pixels)

    for number in range(train):
        image(f"train/good/{number:03}.png")
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 255
    for number in range(test):
        image(f"test/good/{number:03}.png")
        image(f"test/dent/{number:03}.png", dent=True)
        save(folder / f"ground_truth/dent/{number:03}_mask.png", mask)
    return folder


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def runs_at(uri: str) -> list[Any]:
    """Every run of the experiment that tiny runs are filed under."""
    from gtrans_core.tracking.client import connect

    client = connect(uri)
    experiment = client.get_experiment_by_name("gtrans")
    return list(client.search_runs([experiment.experiment_id])) if experiment else []


def category_runs_at(uri: str) -> list[Any]:
    """Those of them that are of a category; runs of single steps lie below."""
    return [run for run in runs_at(uri) if "gtrans.run_key" in run.data.tags]


def story_of(client: Any) -> dict[str, Any]:
    """What a registry holds of the category, without what differs between any two runs."""
    name = f"gtrans-{CATEGORY}"
    versions = {int(v.version): v.tags for v in client.search_model_versions(f"name = '{name}'")}
    aliases = {a: int(v) for a, v in client.get_registered_model(name).aliases.items()}
    kept = ("gtrans.detector_digest", "gtrans.files", "gtrans.gate", "gtrans.data_digest")
    return {
        "versions": [{tag: tags[tag] for tag in kept} for _, tags in sorted(versions.items())],
        "metrics": [metrics_in(tags) for _, tags in sorted(versions.items())],
        "aliases": {alias: sorted(versions).index(number) for alias, number in aliases.items()},
    }


def metrics_in(tags: dict[str, str]) -> str:
    """Metrics in the tags of a version, all but the seconds that training took."""
    from gtrans_core.tracking.registry.evidence import evidence_of

    found = dict(evidence_of(tags).metrics)
    found.pop("training_seconds", None)
    return json.dumps(found, sort_keys=True)

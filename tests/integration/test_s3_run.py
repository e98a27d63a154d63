"""A run whose images, weights, feature cache and MLflow artifacts all live on S3 (SeaweedFS)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save

from gtrans_core.config import load_config
from gtrans_core.data.sources.demo import generate_demo
from gtrans_core.errors import StorageError, WeightsError
from gtrans_core.features.cache import CachedFeatures, load_cache
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.steps.cache_features import cache_features
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.ingest import ingest
from gtrans_core.storage import open_store, sha256_file
from tests.support.forks import gtrans
from tests.support.seaweed import SECRET_KEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BUCKET = "plant"
SOURCE = f"s3://{BUCKET}/images"
CACHES = f"s3://{BUCKET}/caches"
SMALL = (
    "image.size=64",
    "agn.backbone=test_efficientnet",
    "agn.taps=[4, 8, 16]",
    f"agn.weights=s3://{BUCKET}/weights/tiny.safetensors",
    "trans.backbone=test_resnet",
    "trans.token_width=16",
    "training.epochs=2",
    "training.batch_size=8",
    "training.threads=1",
    "evaluation.false_alarm_rate=0.2",
    "evaluation.perturbed_images=0",
    "training.light_augmentation=off",
)


@dataclass(frozen=True)
class Plant:
    """A bucket with images and weights, and an MLflow server that keeps its artifacts there."""

    root: Path
    overrides: tuple[str, ...]

    def run(self) -> subprocess.CompletedProcess[str]:
        """``gtrans run`` on a machine that has nothing but a profile."""
        place = ["--profile", str(self.root / "plant.toml"), "--store", str(self.root / "one")]
        knobs = [f"--set={override}" for override in self.overrides]
        source = ["--category", "weave", "--data", SOURCE]
        return gtrans("run", *source, *place, *knobs, cwd=self.root)

    def cache_elsewhere(self, *overrides: str) -> CachedFeatures:
        """Ingest and cache_features as on a second machine, in this process."""
        config = load_config(None, [*self.overrides, *overrides]).to_json()
        folder = self.root / "two"
        settings = RunContext("run", "weave", str(folder), "sqlite:///none.db", "test")
        train, features = folder / "train.json", folder / "features.json"
        ingest(settings, SOURCE, config, train, folder / "test.json")
        cache_features(settings, config, train, features, cache_store=CACHES)
        there = FeatureCacheRef.read(features).open(resident_mb=0)
        return there.subset(range(len(there.digests)))


@pytest.fixture(scope="module")
def plant(s3_server, processes, tmp_path_factory) -> Iterator[Plant]:
    root = tmp_path_factory.mktemp("plant")
    generate_demo(root / "weave", train=30, test_good=4, per_defect=1)
    weights = root / "tiny.safetensors"
    weights.write_bytes(save(timm.create_model("test_efficientnet").state_dict()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        s3_server.client().create_bucket(Bucket=BUCKET)
        bucket = open_store(f"s3://{BUCKET}")
        for path in (root / "weave").rglob("*.png"):
            bucket.write(f"images/weave/{path.relative_to(root / 'weave')}", path.read_bytes())
        bucket.write("weights/tiny.safetensors", weights.read_bytes())
        artifacts = f"s3://{BUCKET}/mlflow"
        with processes.mlflow_server(root, processes.free_port(), artifacts=artifacts) as uri:
            (root / "plant.toml").write_text(
                f'store = "store"\ncache_store = "{CACHES}"\ntracking_uri = "{uri}"\n'
                'unsigned_models = "allow"\n'
            )
            yield Plant(root, (*SMALL, f"agn.weights_sha256={sha256_file(weights)}"))


def test_everything_lives_on_s3(plant: Plant) -> None:
    done = plant.run()
    assert done.returncode == 0, done.stdout + done.stderr
    bucket = open_store(f"s3://{BUCKET}")
    artifacts = {Path(entry.name).name for entry in bucket.list("mlflow/")}
    assert {"MLmodel", "report.html"} <= artifacts, "the model and the report"
    index, *_ = [e.name for e in bucket.list("caches/") if e.name.endswith("/cache.json")]
    here = load_cache(plant.root / "one" / "cache" / Path(index).parent.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "gtrans_core.features.cache._compute_shard", None
        )  # nothing is computed again
        elsewhere = plant.cache_elsewhere()
    assert elsewhere.digests == here.digests
    assert all(torch.equal(a, b) for a, b in zip(elsewhere.maps, here.maps, strict=True))

    assert SECRET_KEY not in done.stdout + done.stderr
    for path in plant.root.rglob("*"):
        assert not path.is_file() or SECRET_KEY.encode() not in path.read_bytes(), path


def test_wrong_secret_is_refused_in_one_line(plant: Plant, monkeypatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-of-somebody-else")
    with pytest.raises(StorageError, match="the secret key is wrong") as caught:
        plant.cache_elsewhere()
    assert "\n" not in str(caught.value)
    assert "CANARY" not in str(caught.value)


def test_other_weights_than_the_pinned_ones_are_refused(plant: Plant) -> None:
    with pytest.raises(WeightsError, match="is not the pinned"):
        plant.cache_elsewhere(f"agn.weights_sha256={'0' * 64}")

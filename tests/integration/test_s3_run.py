"""A run whose images, weights, feature cache and MLflow artifacts all live on S3 (SeaweedFS)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import timm
from safetensors.torch import save

from gtrans_core.data.demo import generate_demo
from gtrans_core.storage import open_store, sha256_file
from tests.support.seaweed import SECRET_KEY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BUCKET = "plant"
SMALL = [
    "--set=image.size=64",
    "--set=agn.backbone=test_efficientnet",
    "--set=agn.taps=[4, 8, 16]",
    "--set=trans.token_width=16",
    "--set=training.epochs=2",
    "--set=training.batch_size=8",
    "--set=evaluation.false_alarm_rate=0.2",
    "--set=agn.weights=s3://plant/weights/tiny.safetensors",
]


@dataclass(frozen=True)
class Plant:
    """A bucket with images and weights, an MLflow server that keeps its artifacts there."""

    root: Path
    weights_sha256: str

    def run(self, store: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """``gtrans run`` on a machine with this store and nothing else."""
        source = ["--category", "weave", "--data", f"s3://{BUCKET}/images"]
        place = ["--profile", str(self.root / "plant.toml"), "--store", str(self.root / store)]
        pin = f"--set=agn.weights_sha256={self.weights_sha256}"
        return subprocess.run(
            [sys.executable, "-m", "gtrans_core.cli.main", "run", *source, *place, *SMALL, pin],
            cwd=self.root,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def events(self, store: str) -> dict[str, dict]:
        """What each step of the newest run reported at its end."""
        newest = max((self.root / store / "runs").iterdir())
        lines = (newest / "progress.jsonl").read_text().splitlines()
        events = map(json.loads, lines)
        return {e["step"]: e["results"] for e in events if e["kind"] == "finished"}


@pytest.fixture(scope="module")
def plant(s3_server, processes, tmp_path_factory) -> Iterator[Plant]:
    root = tmp_path_factory.mktemp("plant")
    generate_demo(root / "weave", train=30, test_good=4, per_defect=1)
    weights = root / "tiny.safetensors"
    weights.write_bytes(save(timm.create_model("test_efficientnet").state_dict()))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        bucket = open_store(f"s3://{BUCKET}")
        for path in (root / "weave").rglob("*.png"):
            bucket.write(f"images/weave/{path.relative_to(root / 'weave')}", path.read_bytes())
        bucket.write("weights/tiny.safetensors", weights.read_bytes())
        artifacts = f"s3://{BUCKET}/mlflow"
        with processes.mlflow_server(root, processes.free_port(), artifacts=artifacts) as uri:
            (root / "plant.toml").write_text(
                f'store = "store"\ncache_store = "s3://{BUCKET}/caches"\ntracking_uri = "{uri}"\n'
                'unsigned_models = "allow"\n'
            )
            yield Plant(root, sha256_file(weights))


def test_everything_lives_on_s3(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plant.run("one")
    assert first.returncode == 0, first.stdout + first.stderr
    assert plant.events("one")["cache_features"]["computed"] > 0
    bucket = open_store(f"s3://{BUCKET}")
    artifacts = {Path(entry.name).name for entry in bucket.list("mlflow/")}
    assert {"MLmodel", "report.html"} <= artifacts, "the model and the report"
    caches = [Path(entry.name).name for entry in bucket.list("caches/")]
    assert "cache.json" in caches

    second = plant.run("two")  # another machine: nothing is here
    assert second.returncode == 0, second.stdout + second.stderr
    fetched = plant.events("two")["cache_features"]
    assert (fetched["computed"], fetched["reused"]) == (0, True)
    for said in (first, second):
        assert SECRET_KEY not in said.stdout + said.stderr
    for path in plant.root.rglob("*"):
        if path.is_file() and "server" not in path.name:
            assert SECRET_KEY.encode() not in path.read_bytes(), path


def test_wrong_secret_is_refused_in_one_line(plant: Plant) -> None:
    refused = plant.run("three", AWS_SECRET_ACCESS_KEY="CANARY-of-somebody-else")
    assert refused.returncode == 6
    assert "the secret key is wrong; check AWS_SECRET_ACCESS_KEY" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    assert "CANARY" not in refused.stdout + refused.stderr


def test_other_weights_than_the_pinned_ones_are_refused(plant: Plant) -> None:
    other = Plant(plant.root, "0" * 64).run("four")
    assert other.returncode == 5
    assert "is not the pinned" in other.stderr

"""`make stack-up` end to end: the pipeline recorded by an MLflow on PostgreSQL and S3."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from gtrans_core.data.sources.demo import generate_demo
from infra.stack.ports import free_port
from infra.stack.service import Service, StackError, answers, running, start, stop
from infra.stack.stack import BUCKET, Stack, up

pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("postgresql", "seaweedfs", "mlflow")
SMALL = [
    "--set=image.size=64",
    "--set=agn.backbone=test_efficientnet",
    "--set=agn.taps=[4,8,16]",
    "--set=agn.weights=random:0",
    "--set=training.epochs=1",
    "--set=training.batch_size=8",
    "--set=evaluation.perturbed_images=0",
    "--set=training.light_augmentation=off",
    "--set=evaluation.false_alarm_rate=0.2",
]


@dataclass(frozen=True)
class Plant:
    """A stack that was started by its command, and a folder to work in."""

    stack: Stack
    root: Path

    def run(self, *command: object, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "AWS_"))}
        return subprocess.run(
            [sys.executable, "-m", *map(str, command)],
            cwd=self.root,
            env={**inherited, "PYTHONPATH": str(ROOT), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def pids(self) -> list[int | None]:
        return [running(self.stack.folder / name / f"{name}.pid") for name in NAMES]

    def secrets(self) -> list[str]:
        facts = self.stack.facts
        return [
            facts.postgresql_password,
            facts.s3_secret_key,
            facts.mlflow_password,
            facts.mlflow_cookie_key,
        ]


@pytest.fixture(scope="module")
def plant(postgresql_installed, tmp_path_factory) -> Iterator[Plant]:
    root = tmp_path_factory.mktemp("plant")
    generate_demo(root / "data" / "weave", train=30, test_good=4, per_defect=1, size=64)
    # Not in pytest's folder, where the user `postgres` cannot go.
    with tempfile.TemporaryDirectory(prefix="gtrans-stack-") as name:
        folder = Path(name)
        try:
            yield Plant(up(folder, free_port(), print), root)
        finally:
            for service in reversed(NAMES):
                stop(folder / service / f"{service}.pid", signal.SIGINT)


@pytest.mark.slow
class TestStack:
    def test_a_run_is_recorded_and_its_model_comes_back_through_the_server(self, plant: Plant):
        profile = ["--profile", plant.stack.folder / "profile.toml"]
        run = ["gtrans.cli.main", "run", "--category=weave", "--data=data", *profile]
        done = plant.run(*run, *SMALL, **plant.stack.client)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "gtrans-weave version 1" in done.stdout
        # In the bucket, though the client has no key to it.
        s3 = boto3.client(
            "s3",
            endpoint_url=plant.stack.seaweedfs.url,
            aws_access_key_id=plant.stack.facts.s3_access_key,
            aws_secret_access_key=plant.stack.facts.s3_secret_key,
            region_name="us-east-1",
        )
        kept = {Path(o["Key"]).name for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]}
        assert {"MLmodel", "detector.json", "report.html"} <= kept
        image = plant.root / "data" / "weave" / "test" / "good" / "000.png"
        model = ["--model=models:/gtrans-weave@challenger", "--store=elsewhere"]
        predict = ["gtrans.cli.main", "predict", image, *model, *profile]
        scored = plant.run(*predict, **plant.stack.client)
        assert scored.returncode == 0, scored.stdout + scored.stderr
        assert "000.png" in scored.stdout
        for secret in plant.secrets():
            assert secret not in done.stdout + done.stderr + scored.stdout + scored.stderr

    def test_without_the_password_nobody_gets_in(self, plant: Plant):
        experiments = f"{plant.stack.mlflow.url}/api/2.0/mlflow/experiments/search?max_results=1"
        assert answers(experiments, (401,))
        assert answers(plant.stack.seaweedfs.url, (403,))

    def test_secrets_are_for_their_owner_and_on_no_command_line(self, plant: Plant):
        for name in ("stack.json", "client.env", "s3.env"):
            assert stat.S_IMODE((plant.stack.folder / name).stat().st_mode) == 0o600
        commands = [p.read_bytes() for p in commands_of_all()]
        readable = [p for p in plant.stack.folder.rglob("*") if readable_by_others(p)]
        assert readable, "logs and the profile"
        for secret in plant.secrets():
            assert not [c for c in commands if secret.encode() in c]
            assert not [p for p in readable if secret.encode() in p.read_bytes()]

    def test_up_again_changes_nothing_and_down_stops_all(self, plant: Plant):
        before = plant.pids()
        assert None not in before
        command = ["infra.stack", "up", "--folder", plant.stack.folder]
        again = plant.run(*command)
        assert again.returncode == 0, again.stderr
        assert again.stdout.splitlines()[:3] == [f"{name}: runs already" for name in NAMES]
        assert plant.pids() == before
        down = plant.run("infra.stack", "down", "--folder", plant.stack.folder)
        assert down.stdout.splitlines() == [f"{name}: stopped" for name in reversed(NAMES)]
        assert plant.pids() == [None] * 3
        assert not answers(f"{plant.stack.mlflow.url}/health")
        down = plant.run("infra.stack", "down", "--folder", plant.stack.folder)
        assert down.stdout.splitlines() == [f"{name}: was not running" for name in reversed(NAMES)]


def test_a_number_that_became_another_process_is_left_alone(tmp_path: Path):
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (tmp_path / "mlflow.pid").write_text(f"{stranger.pid} 1\n")
        assert not stop(tmp_path / "mlflow.pid", signal.SIGKILL)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_program_that_ends_at_once_says_why(tmp_path: Path):
    command = ["sh", "-c", "echo port is taken; exit 3"]
    service = Service("short", tmp_path, command, {}, ready=lambda: False)
    with pytest.raises(
        StackError, match=r"short did not start; .*short\.log ends with\nport is taken"
    ):
        start(service)
    assert not service.pid_file.exists()


def commands_of_all() -> list[Path]:
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if path.is_file()]


def readable_by_others(path: Path) -> bool:
    inside = all(p.stat().st_mode & stat.S_IXOTH for p in path.parents)
    return path.is_file() and inside and bool(path.stat().st_mode & stat.S_IROTH)

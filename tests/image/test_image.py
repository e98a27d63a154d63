"""The built images in a restricted pod: any user, read-only root, no capabilities, no network.

`make image-test` builds them and names them in GTRANS_IMAGE and GTRANS_SERVE_IMAGE; without
these two names the tests are skipped.
"""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import gtrans.pipelines
from gtrans_core.data.sources.demo import generate_demo
from gtrans_core.lineage import collect_lineage
from gtrans_core.steps.names import CATEGORY_STEPS
from gtrans_core.storage import sha256_file
from gtrans_core.tracking.verify import verify_folder
from gtrans_core.trust.policy import TrustPolicy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

UID = 12345
ROOT = Path(__file__).parents[2]
COMPILED = Path(gtrans.pipelines.__file__).parent / "compiled" / "cluster-cpu"
SMALL = [
    "--set=image.size=64",
    "--set=training.epochs=1",
    "--set=training.batch_size=8",
    "--set=training.light_augmentation=off",
    "--set=evaluation.false_alarm_rate=0.2",
]


@dataclass(frozen=True)
class Pod:
    """Runs the image as Kubernetes' restricted pods are; only /tmp and /store can be written."""

    engine: str
    image: str
    root: Path

    def command(self, *options: str, arguments: list[str]) -> list[str]:
        restricted = [
            "--read-only",
            f"--user={UID}:{UID}",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
            "--network=none",
            "--tmpfs=/tmp:mode=1777",
            # Engines raise these beyond what a sandbox without CAP_SYS_RESOURCE may.
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=4096:4096",
            "--env=OMP_NUM_THREADS=1",
            f"--volume={self.root}/data:/data:ro",
            f"--volume={self.root}/store:/store",
        ]
        if Path(self.engine).name == "podman":
            restricted.append("--read-only-tmpfs=false")  # else /run and /var/tmp can be written
        return [self.engine, "run", *restricted, *options, self.image, *arguments]

    def inspected(self) -> dict[str, Any]:
        asked = [self.engine, "image", "inspect", self.image]
        ended = subprocess.run(asked, capture_output=True, check=True)
        [facts] = json.loads(ended.stdout)
        return dict(facts)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = self.command("--rm", "--no-healthcheck", arguments=list(arguments))
        return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def pod(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    image = os.environ.get("GTRANS_IMAGE")
    if not image:
        pytest.skip("no GTRANS_IMAGE: `make image-test` builds one")
    engine = shutil.which("podman") or shutil.which("docker")
    assert engine, "neither podman nor docker is installed"
    root = tmp_path_factory.mktemp("pod")
    generate_demo(root / "data" / "weave", train=40, test_good=8, per_defect=2, size=64)
    (root / "store").mkdir()
    if os.getuid() == 0:
        os.chown(root / "store", UID, UID)
    else:
        (root / "store").chmod(0o777)
    return Pod(engine, image, root)


@pytest.fixture(scope="module")
def first_run(pod: Pod) -> Path:
    """A run of the pipeline without HOME and USER; gives the run's folder."""
    # The same compiled pipeline as on a cluster: each step is the command that its pod would run.
    run = ["gtrans", "run", "--category", "weave", "--data", "/data", "--store", "/store"]
    ended = pod.run("env", "--unset=HOME", "--unset=USER", *run, *SMALL)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    [folder] = (pod.root / "store" / "runs").iterdir()
    return folder


@pytest.fixture(scope="module")
def serve_pod(pod: Pod) -> Pod:
    image = os.environ.get("GTRANS_SERVE_IMAGE")
    if not image:
        pytest.skip("no GTRANS_SERVE_IMAGE: `make image-test` builds one")
    return replace(pod, image=image)


@pytest.fixture(params=["pod", "serve_pod"])
def each_pod(request: pytest.FixtureRequest) -> Pod:
    """Either image."""
    return request.getfixturevalue(request.param)


def test_it_says_what_it_is_and_runs_as_nobody_in_particular(each_pod: Pod):
    pod = each_pod
    config = pod.inspected()["Config"]
    assert config["User"] == "65532:65532"
    sha = collect_lineage()["git_sha"]
    assert config["Labels"]["org.opencontainers.image.revision"] == sha
    assert "@sha256:" in config["Labels"]["org.opencontainers.image.base.name"]
    assert {"HOME=/tmp", f"GTRANS_GIT_SHA={sha}"} <= set(config["Env"])


def test_it_can_be_stated_where_it_comes_from(each_pod: Pod, tmp_path: Path):
    pod = each_pod
    runpy.run_path(str(ROOT / "infra/images/statement.py"))["main"](pod.image, tmp_path)
    assert verify_folder(tmp_path, TrustPolicy(unsigned="allow")).checked == ("provenance", "SBOM")
    lock = sha256_file(ROOT / "requirements.lock")
    assert pod.inspected()["Config"]["Labels"]["gtrans.lock.sha256"] == lock


def test_the_installation_is_whole_and_without_the_developers_tools(pod: Pod):
    tools = "import importlib.util as u; print([n for n in ('pytest', 'mypy') if u.find_spec(n)])"
    ended = pod.run("sh", "-ec", f'gtrans doctor --store /store; python3 -c "{tools}"')
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.splitlines()[-1] == "[]"


def test_the_root_cannot_be_written(pod: Pod):
    for path in ("/x", "/opt/gtrans/x", "/var/x", "/run/x"):
        assert "Read-only file system" in pod.run("touch", path).stderr


def test_every_component_of_the_pipeline_runs(pod: Pod, first_run: Path):
    events = [json.loads(line) for line in (first_run / "progress.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events if e["kind"] == "finished"] == list(CATEGORY_STEPS)
    written = [path for path in (pod.root / "store").rglob("*") if path.is_file()]
    assert {path.stat().st_uid for path in written} == {UID}


@pytest.mark.usefixtures("first_run")
def test_images_are_scored_and_the_drift_component_runs_as_on_a_cluster(pod: Pod):
    model = ["--store", "/store", "--model", "models:/gtrans-weave@challenger"]
    ended = pod.run("gtrans", "predict", "/data/weave/test/good", *model)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    place = {"store": "/store", "tracking_uri": "sqlite:////store/mlflow.db"}
    asked = {"run_key": "drift-1", "category": "weave", "experiment": "gtrans", "since": ""}
    tuned = {"alpha": 0.01, "defect_share": 0.1, "fail_on_drift": False}
    command = component_command("drift", "check_drift", place | asked | tuned)
    ended = pod.run("env", "GTRANS_UNSIGNED_MODELS=allow", *command)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    said = json.loads((pod.root / "store" / "executor_output.json").read_text())
    assert said["parameterValues"]["Output"] == "not enough images"  # of eight


@pytest.mark.usefixtures("first_run")
def test_the_small_image_scores_the_same_without_torch(pod: Pod, serve_pod: Pod):
    tables = []
    for one in (pod, serve_pod):
        table = f"{one.image.partition(':')[0].rpartition('/')[2]}.csv"
        score = ["gtrans", "predict", "/data/weave/test/good", "--out", f"/store/{table}"]
        ended = one.run(*score, "--store", "/store", "--model", "models:/gtrans-weave@challenger")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        with (pod.root / "store" / table).open() as rows:
            tables.append([row | {"scored_at": ""} for row in csv.DictReader(rows)])
    assert tables[0] == tables[1]
    assert serve_pod.run("python3", "-c", "import torch").returncode != 0
    refused = serve_pod.run("gtrans", "run", "--category", "demo", "--store", "/store")
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "gtrans[train]" in refused.stderr
    assert serve_pod.inspected()["Size"] < pod.inspected()["Size"] / 4


def test_it_serves_and_its_health_check_knows(each_pod: Pod, first_run: Path):
    pod = each_pod
    [made] = first_run.glob("artifacts/**/detector.json")
    detector = f"/store/{made.parent.relative_to(pod.root / 'store')}"
    name = f"gtrans-image-test-{os.getpid()}"
    # Checked by hand: podman's own timer needs systemd.
    options = ["--detach", f"--name={name}", "--health-interval=disable"]
    if Path(pod.engine).name != "podman":
        options = ["--detach", f"--name={name}"]
    serve = ["gtrans", "serve", "--model", detector, "--store", "/store"]
    subprocess.run(pod.command(*options, arguments=serve), capture_output=True, check=True)
    try:
        check = health_check(pod)
        assert execute(pod, name, check).returncode != 0, "healthy before it can be"
        deadline = time.monotonic() + 120
        while execute(pod, name, check).returncode != 0:
            assert time.monotonic() < deadline, logs(pod, name)
            time.sleep(1)
    finally:
        subprocess.run([pod.engine, "rm", "--force", name], capture_output=True, check=False)


def component_command(pipeline: str, name: str, parameters: dict[str, object]) -> list[str]:
    """What a component's pod runs, its placeholder filled in as Kubeflow's launcher does."""
    compiled = next(yaml.safe_load_all((COMPILED / f"{pipeline}.yaml").read_text()))
    executor = f"exec-{name.replace('_', '-')}"
    container = compiled["deploymentSpec"]["executors"][executor]["container"]
    asked = {
        "inputs": {"parameterValues": parameters},
        "outputs": {
            "outputFile": "/store/executor_output.json",
            "parameters": {"Output": {"outputFile": "/store/output"}},
        },
    }
    words = [*container["command"], *container["args"]]
    return [json.dumps(asked) if word == "{{$}}" else word for word in words]


def health_check(pod: Pod) -> list[str]:
    facts = pod.inspected()
    kind, *command = (facts.get("Healthcheck") or facts["Config"]["Healthcheck"])["Test"]
    assert kind == "CMD"
    return command


def execute(pod: Pod, name: str, command: list[str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([pod.engine, "exec", name, *command], capture_output=True, check=False)


def logs(pod: Pod, name: str) -> str:
    ended = subprocess.run([pod.engine, "logs", name], capture_output=True, text=True, check=False)
    return ended.stdout + ended.stderr

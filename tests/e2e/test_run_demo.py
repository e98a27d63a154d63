"""End to end on a shrunken demo: the command, the real pipeline, the real registry."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gtrans_core.data.sources.demo import generate_demo
from gtrans_core.evaluation.image_table import read_images
from gtrans_core.steps.names import CATEGORY_STEPS
from tests.support import forks, processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = [
    "--set=image.size=128",
    "--set=training.epochs=4",
    "--set=training.batch_size=8",
    "--set=evaluation.false_alarm_rate=0.2",
]

CANARY = "CANARY-5f0c1b"
"""A secret of the environment that must turn up nowhere."""


@dataclass(frozen=True)
class Plant:
    """A folder with one category and a store, and the command.

    Attributes:
        root: the folder.
        start: how the command is started; the first run of all is a new Python.
    """

    root: Path
    start: Callable[..., subprocess.CompletedProcess[str]] = forks.gtrans

    @property
    def store(self) -> Path:
        return self.root / "store"

    def gtrans(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        secrets = dict.fromkeys(("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD"), CANARY)
        return self.start(*arguments, cwd=self.root, COLUMNS="80", **secrets)

    def run(self, category: str = "weave") -> subprocess.CompletedProcess[str]:
        place = ["--data", self.root / "data", "--store", self.store]
        return self.gtrans("run", "--category", category, *place, *SMALL)

    def newest(self) -> Path:
        return max((self.store / "runs").iterdir())


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    root = tmp_path_factory.mktemp("plant with a space")
    generate_demo(root / "data" / "weave", train=40, test_good=6, per_defect=2)
    return Plant(root)


@pytest.fixture(scope="module")
def first_run(plant: Plant) -> subprocess.CompletedProcess[str]:
    result = replace(plant, start=processes.gtrans).run()
    assert result.returncode == 0, result.stdout + result.stderr
    return result


@pytest.mark.usefixtures("first_run")
def test_every_step_ran_and_the_run_left_its_traces(plant: Plant):
    folder = plant.newest()
    events = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [e["step"] for e in events if e["kind"] == "finished"] == list(CATEGORY_STEPS)
    assert not any(e["results"].get("reused") for e in events if e["kind"] == "finished")
    assert (folder / "report.html").read_text(encoding="utf-8").lstrip().startswith("<!")
    assert "finished with status" in (folder / "pipeline.log").read_text(encoding="utf-8")
    [images] = folder.glob("artifacts/*/evaluate/evaluation/images.parquet")
    [logged] = plant.store.glob("artifacts/**/images.parquet")
    assert logged.read_bytes() == images.read_bytes()
    assert len(read_images(images)) == len(list((plant.root / "data/weave/test").glob("*/*")))


def test_it_ends_with_metrics_and_what_to_do_next(
    plant: Plant, first_run: subprocess.CompletedProcess[str]
):
    auroc = re.search(r"image AUROC +(\d\.\d{4})", first_run.stdout)
    assert auroc is not None
    assert 0.0 <= float(auroc[1]) <= 1.0
    assert "not available" not in first_run.stdout
    assert f"Report   {plant.newest() / 'report.html'}" in first_run.stdout
    assert "Model    gtrans-weave version 1, alias challenger" in first_run.stdout


def test_the_printed_page_is_the_run_in_the_record(
    plant: Plant, first_run: subprocess.CompletedProcess[str]
):
    page = re.search(r"/#/experiments/(\d+)/runs/([0-9a-f]{32})\?workflowType", first_run.stdout)
    assert page is not None
    with sqlite3.connect(plant.store / "mlflow.db") as database:
        (row,) = database.execute(
            "SELECT experiment_id, status FROM runs WHERE run_uuid = ?", (page[2],)
        ).fetchall()
    assert (str(row[0]), row[1]) == (page[1], "FINISHED")


def test_no_secret_of_the_environment_is_written_anywhere(
    plant: Plant, first_run: subprocess.CompletedProcess[str]
):
    files = [path for path in plant.store.rglob("*") if path.is_file()]
    assert len(files) > 50
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert CANARY not in first_run.stdout + first_run.stderr


@pytest.mark.usefixtures("first_run")
def test_the_registered_model_scores_images(plant: Plant):
    images = sorted((plant.root / "data" / "weave" / "test").glob("*/000.png"))
    model = ["--model", "models:/gtrans-weave@challenger", "--store", plant.store]
    result = plant.gtrans("predict", *images, *model, "--heat-maps", "heatmaps")
    assert result.returncode == 0, result.stdout + result.stderr
    rows = result.stdout.splitlines()[1:]
    assert len(rows) == len(images)
    assert {row.split()[0] for row in rows} <= {"ok", "flagged"}
    assert len(list((plant.root / "heatmaps").glob("*.png"))) == len(images)


@pytest.mark.usefixtures("first_run")
def test_the_same_run_again_reuses_the_caches_and_the_version_and_says_so(plant: Plant):
    result = plant.run()
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Reused   cache_features, train, evaluate, register (nothing changed)" in result.stdout
    assert "Model    gtrans-weave version 1, alias challenger" in result.stdout


@pytest.mark.usefixtures("first_run")
def test_a_truncated_image_ends_the_run_in_ingest_with_one_line(plant: Plant):
    broken = plant.root / "data" / "broken"
    shutil.copytree(plant.root / "data" / "weave", broken)
    image = broken / "train" / "good" / "003.png"
    image.write_bytes(image.read_bytes()[:-500])
    result = plant.run("broken")
    assert result.returncode == 4
    assert result.stderr.startswith("error: ")
    assert "003.png" in result.stderr
    assert "Traceback" not in result.stderr
    assert "[cache_features]" not in result.stdout


@pytest.mark.usefixtures("first_run")
def test_nothing_is_left_behind_in_the_working_folder(plant: Plant):
    assert {path.name for path in plant.root.iterdir()} <= {"data", "store", "heatmaps"}

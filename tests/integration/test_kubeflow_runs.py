"""Runs on a real MLflow server: one a category, below it one a step, above them a sweep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gtrans_core.errors import CategoriesError, DataError
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.reporting import run_step
from gtrans_core.steps.summarize import summarize
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.comparison import compare
from gtrans_core.tracking.runs import open_run

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_folder")]


def settings_of(uri: str, key: str, category: str, experiment: str) -> RunContext:
    return RunContext(key, category, "/store", uri, experiment)


def train_category(settings: RunContext, auroc: float) -> None:
    """What the steps of a category leave in MLflow."""
    with run_step("ingest", settings):
        pass
    with run_step("train", settings):
        run = open_run(settings.tracking, settings.run_key, settings.category, step="train")
        run.log_metrics({"train_loss": 0.5})
    with run_step("register", settings):
        run = open_run(settings.tracking, settings.run_key, settings.category)
        run.log_metrics({"image_auroc": auroc})
        run.log_lineage({"registered_version": "1"})
        run.finish()


def found(uri: str, experiment: str, query: str) -> list:
    client = connect(uri)
    number = client.get_experiment_by_name(experiment).experiment_id
    return list(client.search_runs([number], query))


def test_a_sweep_its_categories_and_their_steps(mlflow_server: str, tmp_path: Path):
    for category, auroc in (("bolt", 0.9), ("washer", 0.97)):
        train_category(settings_of(mlflow_server, "k1", category, "sweep"), auroc)
    failing = settings_of(mlflow_server, "k1", "nut", "sweep")
    with pytest.raises(SystemExit), run_step("ingest", failing):
        raise DataError("007.png: torn")

    heading = settings_of(mlflow_server, "k1", "", "sweep")
    files = tmp_path / "ranking", tmp_path / "summary"
    with pytest.raises(CategoriesError, match=r"2 of 3 .*: nut \(ingest: 007.png: torn\)"):
        summarize(heading, ["bolt", "nut", "washer"], *files)

    ranking = json.loads(files[0].read_text())
    assert [row["category"] for row in ranking["ranking"]] == ["washer", "bolt"]
    assert "- nut: ingest: 007.png: torn" in files[1].read_text()

    # One filter each, and only runs that one compares.
    sweep = found(mlflow_server, "sweep", "tags.`gtrans.run_key` = 'k1'")
    assert {run.data.tags["gtrans.category"] for run in sweep} == {"bolt", "nut", "washer"}
    assert len(sweep) == 3
    [bolt] = found(mlflow_server, "sweep", "tags.`gtrans.category` = 'bolt'")
    assert bolt.data.metrics == {"train_loss": 0.5, "image_auroc": 0.9}
    compared = compare(connect(mlflow_server), "sweep", "bolt", "image_auroc", 10)
    assert [trial.run_id for group in compared.groups for trial in group.trials] == [
        bolt.info.run_id
    ]

    below = found(mlflow_server, "sweep", f"tags.`mlflow.parentRunId` = '{bolt.info.run_id}'")
    assert {run.data.tags["gtrans.step"] for run in below} == {"ingest", "train", "register"}
    for run in below:
        assert run.info.status == "FINISHED"
        assert run.info.end_time >= run.info.start_time
        assert run.data.metrics["step_seconds"] >= 0
    [failed] = found(mlflow_server, "sweep", "tags.`gtrans.step` = 'ingest' and status = 'FAILED'")
    assert failed.data.tags["gtrans.failure"] == "ingest: 007.png: torn"

    [above] = found(mlflow_server, "sweep", "tags.`gtrans.sweep` = 'k1'")
    assert above.info.status == "FAILED"
    assert above.data.tags["gtrans.failed_categories"] == "nut"
    assert {run.data.tags["mlflow.parentRunId"] for run in sweep} == {above.info.run_id}
    artifacts = connect(mlflow_server).list_artifacts(above.info.run_id)
    assert {file.path for file in artifacts} == {"ranking.json", "summary.md"}


def test_runs_that_kubeflow_injects_are_adopted_and_none_is_made(
    mlflow_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As its MLflow plugin does: a run for the pipeline run, nested ones for the tasks."""
    client = connect(mlflow_server)
    experiment = client.create_experiment("injected")
    parent = client.create_run(experiment, run_name="kfp run").info.run_id

    def inject() -> str:
        nested = client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", nested)
        return nested

    settings = settings_of(mlflow_server, "k2", "bolt", "another, which the plugin does not know")
    train = inject()
    with run_step("train", settings):
        open_run(settings.tracking, "k2", "bolt", step="train").log_metrics({"train_loss": 0.5})
    register = inject()
    with run_step("register", settings):
        run = open_run(settings.tracking, "k2", "bolt")
        run.log_metrics({"image_auroc": 0.9})
        run.log_lineage({"registered_version": "1"})
        run.finish()
    last = inject()
    summarize(settings_of(mlflow_server, "k2", "", ""), ["bolt"], tmp_path / "r", tmp_path / "s")

    runs = {run.info.run_id: run for run in client.search_runs([experiment])}
    assert set(runs) == {parent, train, register, last}
    # Register logs all there is, so that its run is the one to compare.
    assert runs[register].data.tags["gtrans.category"] == "bolt"
    assert runs[train].data.tags["gtrans.step"] == "train"
    assert "gtrans.category" not in runs[train].data.tags
    assert runs[last].data.tags["gtrans.sweep"] == "k2"
    nested = [runs[one].data.tags["mlflow.parentRunId"] for one in (train, register, last)]
    assert nested == [parent] * 3
    assert {run.info.status for run in runs.values()} == {"RUNNING"}  # Kubeflow ends them


def test_a_server_that_is_down_costs_a_step_no_more_than_its_patience(
    processes, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gtrans_core.tracking.step_run.PATIENCE_S", 0.5)
    settings = settings_of(f"http://127.0.0.1:{processes.free_port()}", "k3", "bolt", "down")
    with run_step("evaluate", settings):
        pass

"""``gtrans run``: what is checked before it starts, what it starts, and how it ends."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans.pipelines.embedded import local
from gtrans.pipelines.embedded.local import LocalRun, RunOutcome, StopRequested
from gtrans.pipelines.gates import load_gate
from gtrans.pipelines.graphs.compile import COMPILED_CATEGORIES, COMPILED_CATEGORY
from gtrans_core.config import GTransConfig
from gtrans_core.errors import ConfigError, DataError, GTransError, StorageError
from gtrans_core.steps.names import CATEGORY_STEPS
from tests.support.tiny import TINY

GOOD_RESULTS: dict[str, dict[str, Any]] = {
    "ingest": {},
    "cache_features": {},
    "train": {},
    "evaluate": {"metrics": {"image_auroc": 0.99}},
    "register": {"version": 1, "run_page": "#/experiments/1/runs/abc"},
}


class Pipeline:
    """Stands in for the embedded pipeline and remembers what it was asked to run."""

    def __init__(self) -> None:
        self.jobs: list[LocalRun] = []
        self.ending: Callable[[LocalRun], RunOutcome] = self.succeed

    def execute(self, job: LocalRun, on_event: Callable[[dict[str, Any]], None]) -> RunOutcome:
        self.jobs.append(job)
        job.folder.mkdir(parents=True)
        on_event({"time": 0.0, "step": "ingest", "kind": "started"})
        return self.ending(job)

    @staticmethod
    def succeed(job: LocalRun) -> RunOutcome:
        report = job.folder / "evaluate-report"
        report.write_text("<html>")
        evaluated = {**GOOD_RESULTS["evaluate"], "report": str(report)}
        return RunOutcome(0, "", {**GOOD_RESULTS, "evaluate": evaluated})


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    stand_in = Pipeline()
    monkeypatch.setattr(local, "execute", stand_in.execute)
    monkeypatch.delenv("GTRANS_STORE", raising=False)
    return stand_in


def gtrans_run(store: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", "--store", str(store), *arguments])


def test_it_runs_the_committed_pipeline_with_its_parameters(pipeline: Pipeline, tmp_path: Path):
    result = gtrans_run(tmp_path, "-c", "demo", "--set", "training.epochs=2", "--experiment", "lab")
    assert result.exit_code == 0, result.output
    (job,) = pipeline.jobs
    assert job.compiled == COMPILED_CATEGORY
    assert job.folder.parent == tmp_path / "runs"
    config = GTransConfig.from_json(job.parameters["config"])
    assert config.training.epochs == 2
    assert job.parameters["config"] == config.to_json()
    assert {key: job.parameters[key] for key in job.parameters if key != "config"} == {
        "category": "demo",
        "source": "demo",
        "store": str(tmp_path),
        "cache_store": "",
        "tracking_uri": f"sqlite:///{tmp_path}/mlflow.db",
        "experiment": "lab",
        "gate": load_gate("demo").to_json(),
        "unsigned_models": "allow",
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "GTRANS_SIGNING_KEY names no private key"),
        ('public_key = "none.pem"\nunsigned_models = "allow"', "names no private key"),
    ],
)
def test_no_key_where_models_must_be_signed_stops_before_anything_starts(
    pipeline: Pipeline, tmp_path: Path, settings: str, message: str
):
    profile = tmp_path / "plant.toml"
    profile.write_text(f'store = "{tmp_path}/store"\n{settings}')
    result = gtrans_run(tmp_path / "store", "-c", "demo", "--profile", str(profile))
    assert isinstance(result.exception, ConfigError)
    assert message in str(result.exception)
    assert pipeline.jobs == []
    assert not (tmp_path / "store").exists()


def test_a_key_that_cannot_be_read_stops_it_too(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(tmp_path / "none.pem"))
    result = gtrans_run(tmp_path, "-c", "demo")
    assert isinstance(result.exception, ConfigError)
    assert "none.pem: signing key cannot be read" in str(result.exception)
    assert pipeline.jobs == []


def test_a_good_run_ends_with_its_report_under_a_name_a_browser_knows(
    pipeline: Pipeline, tmp_path: Path
):
    result = gtrans_run(tmp_path, "-c", "demo")
    report = pipeline.jobs[0].folder / "report.html"
    assert report.read_text() == "<html>"
    assert f"Report   {report}" in result.output
    assert f"--model models:/gtrans-demo@challenger --store {tmp_path}" in result.output


@pytest.mark.parametrize(
    ("data", "source"),
    [
        ("mvtec", "mvtec"),
        ("visa", "visa"),
        ("s3://bucket/sets", "s3://bucket/sets"),
        ("sets", "{cwd}/sets"),
        ("./demo", "{cwd}/demo"),
    ],
)
def test_a_folder_is_made_absolute_and_other_sources_are_not(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: str, source: str
):
    monkeypatch.chdir(tmp_path)
    assert gtrans_run(tmp_path, "-c", "bottle", "-d", data).exit_code == 0
    assert pipeline.jobs[0].parameters["source"] == source.format(cwd=tmp_path)


def test_what_tiles_cost_is_said_before_the_first_step(pipeline: Pipeline, tmp_path: Path):
    good = tmp_path / "data/part/train/good"
    good.mkdir(parents=True)
    for number in range(7):
        (good / f"{number}.png").touch()
    knobs = [f"--set={knob}" for knob in (*TINY, "image.tiles=[3, 2]")]
    result = gtrans_run(tmp_path, "-c", "part", "-d", str(tmp_path / "data"), *knobs)
    [line] = [line for line in result.stderr.splitlines() if "tiles" in line]
    assert line.startswith("note: 6 tiles of 64 x 64 pixels an image: the guide alone takes about ")
    assert re.search(r"[0-9.]+ s an image on this machine, in training once", line)
    assert re.search(r"the feature cache takes \d+ MB for part \(7 good images\)$", line)
    assert len(pipeline.jobs) == 1

    lit = gtrans_run(tmp_path, "-c", "demo", *knobs, "--set", "training.light_augmentation=on")
    assert "in training 3 times (copies in other light)" in lit.stderr
    assert re.search(r"the feature cache takes [0-9.]+ MB for each good image", lit.stderr)
    assert "tiles" not in gtrans_run(tmp_path, "-c", "demo").stderr


def test_the_store_may_come_from_the_environment(pipeline: Pipeline, tmp_path: Path):
    CliRunner().invoke(app, ["run", "-c", "demo"], env={"GTRANS_STORE": str(tmp_path / "s")})
    assert pipeline.jobs[0].parameters["store"] == str(tmp_path / "s")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["-c", "bottle"], ConfigError, "--data is missing"),
        (
            ["-c", "candle"],
            ConfigError,
            "one of mvtec, mvtec_ad_2, mvtec_loco, visa",
        ),
        (["-c", "demo", "--set", "training.epoch=3"], ConfigError, "unknown key 'training.epoch'"),
        (["-c", "demo", "--set", "training.epochs=0"], ConfigError, "training.epochs"),
        (["-c", "demo", "--config", "none.toml"], ConfigError, "none.toml: cannot be read"),
        (["-c", "demo", "--profile", "moon"], ConfigError, "profile 'moon' is not known"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    pipeline: Pipeline,
    tmp_path: Path,
    arguments: list[str],
    error: type[GTransError],
    message: str,
):
    result = gtrans_run(tmp_path / "store", *arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not pipeline.jobs
    assert not (tmp_path / "store").exists()


def test_an_unwritable_store_is_told_before_anything_starts(pipeline: Pipeline, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    result = gtrans_run(tmp_path / "file", "-c", "demo")
    assert isinstance(result.exception, StorageError)
    assert not pipeline.jobs


def test_a_failed_step_ends_with_its_line_its_code_and_the_log(pipeline: Pipeline, tmp_path: Path):
    pipeline.ending = lambda _: RunOutcome(4, "a.png: truncated", {})
    result = gtrans_run(tmp_path, "-c", "demo")
    assert result.exit_code == 4
    log = pipeline.jobs[0].log
    assert result.stderr == f"error: a.png: truncated\nlog: {log}\n"


def test_where_only_register_failed_the_command_that_makes_up_for_it_is_told(
    pipeline: Pipeline, tmp_path: Path
):
    def without_mlflow(job: LocalRun) -> RunOutcome:
        done = Pipeline.succeed(job).results
        return RunOutcome(7, "MLflow is down", {step: done[step] for step in CATEGORY_STEPS[:-1]})

    pipeline.ending = without_mlflow
    result = gtrans_run(tmp_path, "-c", "demo")
    assert result.exit_code == 7
    folder = pipeline.jobs[0].folder
    [told] = [line for line in result.stderr.splitlines() if line.startswith("to finish: ")]
    assert told.endswith(f"gtrans register --from {folder} --store {tmp_path}")


def test_a_crash_is_a_line_and_where_the_log_lies(pipeline: Pipeline, tmp_path: Path):
    def crash(job: LocalRun) -> RunOutcome:
        job.log.write_text("Traceback (most recent call last):\n")
        return RunOutcome(local.CRASHED, "train ended without finishing", {})

    pipeline.ending = crash
    result = gtrans_run(tmp_path, "-c", "demo")
    assert result.exit_code == local.CRASHED
    assert result.stderr.splitlines() == [
        "error: train ended without finishing",
        f"log: {pipeline.jobs[0].log}",
    ]


def test_a_stopped_run_says_so(pipeline: Pipeline, tmp_path: Path):
    def stop(_: LocalRun) -> RunOutcome:
        raise StopRequested(15)

    pipeline.ending = stop
    result = gtrans_run(tmp_path, "-c", "demo")
    assert result.exit_code == 75
    assert result.stderr.startswith("stopped by SIGTERM; ")


def test_a_profile_of_ones_own_leads_the_printed_commands(pipeline: Pipeline, tmp_path: Path):
    profile = tmp_path / "line 3.toml"
    store = json.dumps(str(tmp_path / "s"))
    profile.write_text(f'store = {store}\nunsigned_models = "allow"')
    result = CliRunner().invoke(app, ["run", "-c", "demo", "--profile", str(profile)])
    assert f"@challenger --profile '{profile}'\n" in result.output


def test_a_category_needs_no_option(pipeline: Pipeline, tmp_path: Path):
    assert gtrans_run(tmp_path, "flange", "-d", "s3://b/p").exit_code == 0
    assert pipeline.jobs[0].parameters["category"] == "flange"


@pytest.mark.parametrize("name", ["my part", "../x", "a/b", "Größe", "-x-", "x" * 101, "a\x1bb"])
def test_a_category_of_no_plain_name_stops_before_anything_starts(
    pipeline: Pipeline, tmp_path: Path, name: str
):
    for named in ([f"-c{name}"], ["-c", "nut", "--", name]):
        result = gtrans_run(tmp_path / "store", "-d", "s3://b/p", *named)
        assert isinstance(result.exception, DataError)
        assert "not a plain name; expected letters" in str(result.exception)
        assert str(result.exception).isprintable()
    assert pipeline.jobs == []
    assert not (tmp_path / "store").exists()


def test_no_category_at_all_is_told(pipeline: Pipeline, tmp_path: Path):
    result = gtrans_run(tmp_path, "-d", "s3://b/p")
    assert isinstance(result.exception, ConfigError)
    assert "no category is named" in str(result.exception)


def test_a_folder_among_all_must_have_a_plain_name_too(pipeline: Pipeline, tmp_path: Path):
    (tmp_path / "sets/my part/train/good").mkdir(parents=True)
    result = gtrans_run(tmp_path, "-d", str(tmp_path / "sets"), "-c", "all")
    assert "category 'my part': not a plain name" in str(result.exception)
    assert pipeline.jobs == []


class TestSeveralCategories:
    def fan_out(self, monkeypatch: pytest.MonkeyPatch, failing: str = "") -> list[LocalRun]:
        """Stands in for the embedded fan-out; one category may fail in it."""
        jobs: list[LocalRun] = []

        def execute_many(job, categories, on_event):
            jobs.append(job)
            job.folder.mkdir(parents=True)
            on_event({"time": 0.0, "step": "ingest", "category": "nut", "kind": "started"})
            ends = {name: Pipeline.succeed(job) for name in categories}
            if failing:
                ends[failing] = RunOutcome(4, "a.png: truncated", {})
            return ends, RunOutcome(14 if failing else 0, "", {})

        monkeypatch.setattr(local, "execute_many", execute_many)
        return jobs

    @pytest.mark.parametrize("named", [["nut", "bolt"], ["nut,bolt"], ["nut", "-c", "bolt"]])
    def test_they_are_one_run_of_the_fan_out(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: list[str]
    ):
        jobs = self.fan_out(monkeypatch)
        result = gtrans_run(tmp_path, "-d", "s3://b/p", "-c", *named)
        assert result.exit_code == 0, result.output
        assert "[nut ingest] started" in result.output
        [job] = jobs
        assert job.compiled == COMPILED_CATEGORIES
        gate = load_gate().to_json()
        items = [{"category": name, "gate": gate} for name in ("nut", "bolt")]
        assert job.parameters["categories"] == items
        assert f"`gtrans.run_key` = '{job.folder.name}'" in result.output
        assert (job.folder / "report-bolt.html").read_text() == "<html>"

    def test_a_failed_one_is_named_and_the_others_are_shown(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        jobs = self.fan_out(monkeypatch, failing="nut")
        result = gtrans_run(tmp_path, "-d", "s3://b/p", "-c", "nut", "bolt")
        assert result.exit_code == 14
        assert "bolt" in result.stdout
        assert result.stderr == (
            "error: nut: a.png: truncated\n"
            "error: 1 of 2 categories failed; the same command does only these again\n"
            f"log: {jobs[0].log}\n"
        )

    def test_a_clusters_profile_is_told_where_to_go(self, tmp_path: Path):
        arguments = ["run", "-c", "demo", "--profile", "cluster-cpu"]
        result = CliRunner().invoke(app, arguments, env={"GTRANS_STORE": ""})
        assert isinstance(result.exception, ConfigError)
        assert "gtrans submit" in str(result.exception)


def test_another_system_than_linux_is_refused(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    refused = gtrans_run(tmp_path, "--category", "demo")
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception).startswith("gtrans run needs Linux")
    assert pipeline.jobs == []

"""``gtrans bench``: what it runs, what it leaves behind, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans.pipelines.embedded import local
from gtrans.pipelines.embedded.local import LocalRun, RunOutcome, StopRequested
from gtrans.pipelines.graphs.compile import COMPILED_CATEGORY
from gtrans_core.config import GTransConfig
from gtrans_core.data.sources.mvtec import CATEGORIES
from gtrans_core.errors import ConfigError, DataError, GTransError, StorageError
from tests.support.records import evaluation_record

PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "au_pro_30")


class Pipeline:
    """Stands in for the embedded pipeline: image AUROC is 0.9 less a hundredth a seed."""

    def __init__(self) -> None:
        self.jobs: list[LocalRun] = []
        self.failing: dict[str, RunOutcome] = {}
        self.pixel_metric: float | None = 0.7

    def execute(self, job: LocalRun, on_event: Callable[[dict[str, Any]], None]) -> RunOutcome:
        self.jobs.append(job)
        category = job.parameters["category"]
        if category in self.failing:
            return self.failing[category]
        outputs = job.folder / "artifacts" / "evaluate"
        outputs.mkdir(parents=True)
        (outputs / "report").write_text("<html>")
        config = GTransConfig.from_json(job.parameters["config"])
        metrics: dict[str, float | None] = dict.fromkeys(PIXEL_METRICS, self.pixel_metric)
        metrics["image_auroc"] = 0.9 - config.seed / 100
        evaluation_record(
            category=category,
            metrics=metrics,
            threshold=0.25,
            good_images=20,
            lineage={"config_digest": "e" * 64},
        ).write(outputs / "evaluation")
        return RunOutcome(0, "", {"evaluate": {"report": str(outputs / "report")}, "register": {}})

    def ran(self) -> list[tuple[str, int]]:
        parameters = (job.parameters for job in self.jobs)
        return [(p["category"], json.loads(p["config"])["seed"]) for p in parameters]


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    stand_in = Pipeline()
    monkeypatch.setattr(local, "execute", stand_in.execute)
    monkeypatch.delenv("GTRANS_STORE", raising=False)
    return stand_in


def gtrans_bench(root: Path, *arguments: str) -> Result:
    place = ["--store", str(root / "store"), "--output", str(root / "out")]
    return CliRunner().invoke(app, ["bench", *place, *arguments])


def numbers(root: Path) -> Any:
    return json.loads((root / "out" / "bench.json").read_text(encoding="utf-8"))


def table(root: Path) -> dict[str, list[str]]:
    """The cells of each row of bench.md, by the row's first."""
    lines = (root / "out" / "bench.md").read_text(encoding="utf-8").splitlines()
    rows = [
        [c.strip(" *") for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return {first: rest for first, *rest in rows}


def test_every_category_and_seed_is_a_run_of_the_committed_pipeline(
    pipeline: Pipeline, tmp_path: Path
):
    arguments = ["--categories", "grid,bottle", "--seeds", "2,0,2", "--set", "training.epochs=3"]
    result = gtrans_bench(tmp_path, "--data", "mvtec", *arguments, "--experiment", "lab")
    assert result.exit_code == 0, result.output
    assert pipeline.ran() == [("grid", 2), ("grid", 0), ("bottle", 2), ("bottle", 0)]
    for job in pipeline.jobs:
        assert job.compiled == COMPILED_CATEGORY
        assert job.folder.parent == tmp_path / "store" / "runs"
        assert job.parameters["source"] == "mvtec"
        assert job.parameters["experiment"] == "lab"
        assert json.loads(job.parameters["config"])["training"]["epochs"] == 3
        assert (job.folder / "report.html").read_text() == "<html>"


def test_all_of_mvtec_has_the_means_of_the_paper_and_the_published_numbers(
    pipeline: Pipeline, tmp_path: Path
):
    result = gtrans_bench(tmp_path, "--data", "mvtec", "--seeds", "0,2")
    assert result.exit_code == 0, result.output
    rows = table(tmp_path)
    groups = ["mean of textures (5)", "mean of objects (10)", "mean of all (15)"]
    assert list(rows)[2:] == [*CATEGORIES, *groups]
    assert rows["bottle"] == ["0, 2", "0.890 ± 0.014", *["0.700 ± 0.000"] * 3, "1.000", "0.981"]
    assert rows["mean of all (15)"][-2:] == ["0.987", "0.976"]
    caveat = "their weights come from the whole test batch"
    assert caveat in (tmp_path / "out" / "bench.md").read_text(encoding="utf-8")
    assert caveat in result.output


def test_the_terminal_shows_the_same_table_and_where_the_files_are(
    pipeline: Pipeline, tmp_path: Path
):
    result = gtrans_bench(tmp_path, "--data", "mvtec", "--categories", "grid,tile")
    lines = [line.split() for line in result.output.splitlines()]
    for name, row in list(table(tmp_path).items())[2:]:
        assert " ".join([name, *row]).split() in lines
    assert f"Table    {tmp_path / 'out' / 'bench.md'}" in result.output
    assert f"Numbers  {tmp_path / 'out' / 'bench.json'}" in result.output
    assert "tile, seed 0 (2 of 2)" in result.output


def test_bench_json_has_each_run_and_where_it_comes_from(pipeline: Pipeline, tmp_path: Path):
    gtrans_bench(tmp_path, "--data", "mvtec", "--categories", "grid", "--set", "seed=1")
    there = numbers(tmp_path)
    (run,) = there["runs"]
    assert (run["category"], run["seed"], run["metrics"]["image_auroc"]) == ("grid", 1, 0.89)
    assert run["record"]["threshold"] == 0.25
    assert run["record"]["lineage"] == {"config_digest": "e" * 64}
    assert there["config"]["training.epochs"] == GTransConfig().training.epochs
    assert "seed" not in there["config"]
    assert len(there["config_digest"]) == 64
    assert {"git_sha", "package.torch"} <= there["lineage"].keys()


def test_a_data_set_without_masks_and_a_name_in_mvtec_is_still_ones_own(
    pipeline: Pipeline, tmp_path: Path
):
    (tmp_path / "data" / "screw" / "train" / "good").mkdir(parents=True)
    pipeline.pixel_metric = None
    result = gtrans_bench(tmp_path, "--data", str(tmp_path / "data"))
    assert result.exit_code == 0, result.output
    assert table(tmp_path)["screw"] == ["0", "0.900", *["not available"] * 3]
    assert "ublished" not in result.output


def test_a_folder_with_all_of_mvtec_is_mvtec(pipeline: Pipeline, tmp_path: Path):
    for category in CATEGORIES:
        (tmp_path / "data" / category / "train" / "good").mkdir(parents=True)
    arguments = ["--data", str(tmp_path / "data"), "--categories", "wood,tile"]
    assert gtrans_bench(tmp_path, *arguments).exit_code == 0
    assert table(tmp_path)["mean of textures (2 of 5)"][-2:] == ["0.993", "0.962"]


def test_a_failing_category_leaves_the_others_to_finish_and_is_named(
    pipeline: Pipeline, tmp_path: Path
):
    pipeline.failing["grid"] = RunOutcome(4, "a.png: truncated", {})
    arguments = ["--categories", "bottle,grid,wood", "--seeds", "0,1"]
    result = gtrans_bench(tmp_path, "--data", "mvtec", *arguments)
    assert result.exit_code == 4
    assert "error: a.png: truncated\nlog: " in result.stderr
    assert result.stderr.endswith("error: 2 of 6 runs failed: grid, seed 0; grid, seed 1\n")
    assert list(table(tmp_path))[2:] == ["bottle", "wood", "mean of all (2 of 15)"]
    failures = numbers(tmp_path)["failures"]
    assert [(f["category"], f["seed"], f["exit_code"]) for f in failures] == [
        ("grid", 0, 4),
        ("grid", 1, 4),
    ]


def test_nothing_but_failures_still_leaves_the_files(pipeline: Pipeline, tmp_path: Path):
    pipeline.failing["grid"] = RunOutcome(9, "loss is not finite", {})
    result = gtrans_bench(tmp_path, "--data", "mvtec", "--categories", "grid")
    assert result.exit_code == 9
    assert numbers(tmp_path)["rows"] == []
    assert "image AUROC" not in result.stdout


def test_a_stopped_benchmark_keeps_what_was_finished(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(job: LocalRun, on_event: Callable[[dict[str, Any]], None]) -> RunOutcome:
        if job.parameters["category"] == "tile":
            raise StopRequested(15)
        return pipeline.execute(job, on_event)

    monkeypatch.setattr(local, "execute", stop)
    result = gtrans_bench(tmp_path, "--data", "mvtec", "--categories", "grid,tile,wood")
    assert result.exit_code == 75
    assert [run["category"] for run in numbers(tmp_path)["runs"]] == ["grid"]


def test_the_files_are_in_the_store_unless_told_otherwise(pipeline: Pipeline, tmp_path: Path):
    arguments = ["bench", "--data", "demo", "--store", str(tmp_path)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    files = [path.name for path in (tmp_path / "bench").glob("*/*")]
    assert sorted(files) == ["bench.json", "bench.md"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--data", "moon"], DataError, "moon: no such folder; expected a folder, s3://"),
        (["--data", "mvtec", "--categories", "grid,gird"], DataError, "no category 'gird'; it has"),
        (["--data", "mvtec", "--categories", ""], ConfigError, "no category is named"),
        (["--data", "mvtec", "--categories", "a b"], DataError, "'a b': not a plain name"),
        (["--data", "demo", "--seeds", "0,x"], ConfigError, "--seeds 0,x: expected whole numbers"),
        (["--data", "demo", "--seeds", "-1"], ConfigError, "--seeds -1: expected whole numbers"),
        (["--data", "demo", "--seeds", "9999999999"], ConfigError, "seed"),
        (["--data", "demo", "--set", "sede=1"], ConfigError, "unknown key 'sede'"),
        (["--data", "demo", "--profile", "moon"], ConfigError, "profile 'moon' is not known"),
    ],
)
def test_a_mistake_is_told_before_anything_starts(
    pipeline: Pipeline,
    tmp_path: Path,
    arguments: list[str],
    error: type[GTransError],
    message: str,
):
    result = gtrans_bench(tmp_path, *arguments)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)
    assert not pipeline.jobs
    assert not list(tmp_path.iterdir())


def test_an_unwritable_output_is_told_before_anything_starts(pipeline: Pipeline, tmp_path: Path):
    (tmp_path / "out").write_text("in the way")
    result = gtrans_bench(tmp_path, "--data", "demo")
    assert isinstance(result.exception, StorageError)
    assert not pipeline.jobs

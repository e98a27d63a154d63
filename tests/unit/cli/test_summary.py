"""What a finished run ends with."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from gtrans.cli.shared.summary import show_summary
from gtrans.pipelines.profiles import Profile

REPORT = Path("/a very long folder name/that must not be broken/into two lines/runs/1/report.html")
RESULTS: dict[str, dict[str, Any]] = {
    "ingest": {},
    "cache_features": {"reused": True},
    "train": {"reused": True},
    "evaluate": {
        "metrics": {
            "image_auroc": 0.98765,
            "image_ap": 1.0,
            "image_f1_max": float("nan"),
            "pixel_auroc": None,
        }
    },
    "register": {"version": 3, "run_page": "#/experiments/1/runs/abc", "reused": False},
}


def summary(
    capsys: pytest.CaptureFixture[str], uri: str = "sqlite:////s p/mlflow.db", **changes: Any
) -> str:
    profile = Profile(store="/s p", tracking_uri=uri)
    show_summary({**RESULTS, **changes}, "bottle", REPORT, profile, ["--store", "/s p"])
    return capsys.readouterr().out


def test_metrics_are_a_table_and_what_is_missing_is_not_zero(capsys: pytest.CaptureFixture[str]):
    rows = {
        label: value
        for line in summary(capsys).splitlines()[2:10]
        for label, value in [re.split(r"\s{2,}", line.strip())]
    }
    assert rows == {
        "image AUROC": "0.9877",
        "image AP": "1.0000",
        "image F1-max": "not available",
        "pixel AUROC": "not available",
        "pixel AP": "not available",
        "pixel F1-max": "not available",
        "AU-PRO@0.3": "not available",
        "AU-PRO@0.05": "not available",
    }


def test_what_only_some_categories_have_is_a_row_of_theirs(capsys: pytest.CaptureFixture[str]):
    assert "AU-sPRO" not in summary(capsys)
    metrics = {**RESULTS["evaluate"]["metrics"], "au_spro_05": 0.4321}
    assert re.search(r"AU-sPRO@0.05 +0.4321", summary(capsys, evaluate={"metrics": metrics}))


def test_what_was_reused_is_said_and_only_that(capsys: pytest.CaptureFixture[str]):
    assert "Reused   cache_features, train (nothing changed)" in summary(capsys)
    assert "Reused" not in summary(capsys, cache_features={}, train={})


def test_paths_and_commands_are_whole_lines_that_a_shell_reads_back(
    capsys: pytest.CaptureFixture[str],
):
    lines = summary(capsys).splitlines()
    assert f"Report   {REPORT}" in lines
    mlflow = next(shlex.split(line) for line in lines if " ui " in line)
    assert mlflow[1:] == ["ui", "--store", "/s p"]
    assert mlflow[0].endswith("gtrans")
    classic = "?workflowType=machine_learning"
    assert f"  then http://127.0.0.1:5000/#/experiments/1/runs/abc{classic}" in lines
    score = next(shlex.split(line) for line in lines if "predict" in line)
    model = "models:/gtrans-bottle@challenger"
    assert score[1:] == ["predict", "IMAGE", "--model", model, "--store", "/s p"]


def test_the_gates_verdict_and_how_to_promote(capsys: pytest.CaptureFixture[str]):
    registered = {**RESULTS["register"], "gate": "passed (compared with version 2)"}
    lines = summary(capsys, register=registered).splitlines()
    assert "Gate     passed (compared with version 2)" in lines
    promote = next(shlex.split(line) for line in lines if " promote " in line)
    assert promote[1:] == ["promote", "bottle", "--store", "/s p"]


def test_a_server_needs_no_command(capsys: pytest.CaptureFixture[str]):
    output = summary(capsys, uri="http://mlflow.plant:5000/")
    page = "#/experiments/1/runs/abc?workflowType=machine_learning"
    assert f"  http://mlflow.plant:5000/{page}" in output.splitlines()
    assert " ui " not in output


def test_a_database_of_another_name_is_opened_by_its_address(capsys: pytest.CaptureFixture[str]):
    lines = summary(capsys, uri="postgresql://db/mlflow").splitlines()
    mlflow = next(shlex.split(line) for line in lines if " ui " in line)
    assert mlflow[1:] == ["ui", "--backend-store-uri", "postgresql://db/mlflow"]


def test_promotion_is_offered_unless_it_is_refused_or_done(capsys: pytest.CaptureFixture[str]):
    register = RESULTS["register"]
    assert "gtrans promote bottle" in summary(capsys, register={**register, "gate": "passed"})
    refused = summary(capsys, register={**register, "gate": "refused: no defective image"})
    assert "promote" not in refused
    assert "Gate     refused: no defective image" in refused
    already = summary(capsys, register={**register, "gate": "is the champion"})
    assert "promote" not in already

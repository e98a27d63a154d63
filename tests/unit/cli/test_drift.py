"""``gtrans drift``: what is handed on, shown, and how it ends."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock, patch

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli import drift as cli
from gtrans.cli.main import app
from gtrans.pipelines.profiles import load_profile
from gtrans_core.errors import DriftError
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.watch import drift as core
from gtrans_core.watch.drift import find_drift
from gtrans_core.watch.histogram import counts_of

HELD_OUT = [1 + number / 100 for number in range(24)]


def gtrans_drift(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["drift", "flange", *arguments], env={"COLUMNS": "120"})


@pytest.fixture
def judged() -> Callable[[float], MagicMock]:
    """``judged(factor)``: in use are the held-out scores times that; returns the mock."""

    def prepare(factor: float, count: int = 4) -> MagicMock:
        found = find_drift(HELD_OUT, 1.23, counts_of([s * factor for s in HELD_OUT] * count))
        mock.return_value = (ModelVersion("gtrans-flange", 3, "", ""), found)
        return mock

    with patch("gtrans_core.steps.check_drift.judge_version", autospec=True) as mock:
        yield prepare


def test_fine_is_code_0(judged, tmp_path: Path):
    mock = judged(1.0)
    options = ["--version", "3", "--since", "7d", "--alpha", "0.05", "--defects", "0.1"]
    result = gtrans_drift(*options, "--store", str(tmp_path))
    assert result.exit_code == 0, result.output
    mock.assert_called_once_with(
        tmp_path,
        f"sqlite:///{tmp_path}/mlflow.db",
        "flange",
        version=3,
        since="7d",
        alpha=0.05,
        defect_share=0.1,
        trust=load_profile("local").trust,
    )
    lines = result.output.splitlines()
    assert lines[0] == "gtrans-flange version 3: fine"
    assert "  images       96 in use, 24 good ones that set the threshold" in lines
    assert not any(line.startswith("  threshold") for line in lines)


def test_drift_is_code_20_and_says_what_the_threshold_would_be(judged):
    judged(1.08)
    result = gtrans_drift()
    assert isinstance(result.exception, DriftError)
    assert result.exception.exit_code == 20
    assert str(result.exception).startswith("gtrans-flange version 3: recalibrate: ")
    assert "  threshold    1.23; would be 1.32" in result.output
    assert str(result.exception).endswith("`gtrans recalibrate flange --good FOLDER`")
    assert re.search(r"what to do +\S*gtrans recalibrate flange --good FOLDER ", result.output)


def test_drift_names_the_command_for_this_very_store_and_version(judged, tmp_path: Path):
    judged(1.08)
    result = gtrans_drift("--store", str(tmp_path), "--version", "3")
    expected = f"recalibrate flange --good FOLDER --version 3 --store {tmp_path} "
    assert expected in result.output.replace("\n", "")


def test_too_few_images_are_code_0(judged):
    judged(1.0, count=1)
    result = gtrans_drift()
    assert result.exit_code == 0
    assert "not enough images" in result.output.splitlines()[0]


def test_json_has_all_the_evidence(judged):
    judged(3.0)
    result = gtrans_drift("--json")
    assert isinstance(result.exception, DriftError)
    found = json.loads(result.stdout)
    assert (found["model"], found["version"], found["verdict"]) == ("gtrans-flange", 3, "retrain")
    assert found["p_value"] <= 0.01
    assert found["images"] == 96


def test_the_defaults_are_the_cores():
    assert (cli._ALPHA, cli._DEFECT_SHARE) == (core.DEFAULT_ALPHA, core.DEFAULT_DEFECT_SHARE)

"""The evaluate component hands its arguments on, logs the metrics, and its failure out."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans.components.evaluate.component import evaluate
from gtrans_core.errors import ModelError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.evaluate.evaluate"
RUN = {
    "run_key": "r1",
    "category": "bottle",
    "store": "/store",
    "tracking_uri": "sqlite:///m.db",
    "experiment": "lab",
}


def call(metrics: dsl.Metrics) -> Any:
    return evaluate.python_func(
        **RUN,
        config="{}",
        gate="{}",
        data_digest="d1",
        model=dsl.Model(uri="/in/model"),
        features=dsl.Artifact(uri="/in/features"),
        train_data=dsl.Dataset(uri="/in/train"),
        test_data=dsl.Dataset(uri="/in/test"),
        detector=dsl.Model(uri="/out/detector"),
        report=dsl.HTML(uri="/out/report"),
        evaluation=dsl.Artifact(uri="/out/evaluation"),
        metrics=metrics,
    )


def test_it_calls_the_step_logs_and_returns_the_metrics() -> None:
    values = {"image_auroc": 0.99, "au_pro_30": 0.93}
    metrics = dsl.Metrics()
    with patch(STEP, autospec=True, return_value=values) as step:
        assert call(metrics) == values
    assert metrics.metadata == values
    paths = [
        "/in/model",
        "/in/features",
        "/in/train",
        "/in/test",
        "/out/detector",
        "/out/report",
        "/out/evaluation",
    ]
    step.assert_called_once_with(RunContext(**RUN), "{}", "{}", "d1", *map(Path, paths))


def test_a_known_error_becomes_its_exit_code() -> None:
    error = ModelError("model.safetensors: digest differs")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call(dsl.Metrics())
    assert stop.value.code == ModelError.exit_code

"""The cache_features component hands its arguments on, and its failure out."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans.components.cache_features.component import cache_features
from gtrans_core.errors import WeightsError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.cache_features.cache_features"
RUN = {
    "run_key": "r1",
    "category": "bottle",
    "store": "/store",
    "tracking_uri": "sqlite:///m.db",
    "experiment": "lab",
}


def call() -> Any:
    return cache_features.python_func(
        **RUN,
        config="{}",
        cache_store="s3://bucket/caches",
        train_data=dsl.Dataset(uri="/in/train"),
        features=dsl.Artifact(uri="/out/features"),
    )


def test_it_calls_the_step_and_returns_the_key() -> None:
    with patch(STEP, autospec=True, return_value="key") as step:
        assert call() == "key"
    step.assert_called_once_with(
        RunContext(**RUN),
        "{}",
        Path("/in/train"),
        Path("/out/features"),
        cache_store="s3://bucket/caches",
    )


def test_a_known_error_becomes_its_exit_code() -> None:
    error = WeightsError("weights: another sha256")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == WeightsError.exit_code

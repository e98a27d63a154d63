"""The train component hands its arguments on, and its failure out."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans.components.train.component import train
from gtrans_core.errors import TrainingError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.train.train"
RUN = {
    "run_key": "r1",
    "category": "bottle",
    "store": "/store",
    "tracking_uri": "sqlite:///m.db",
    "experiment": "lab",
}


def call() -> Any:
    return train.python_func(
        **RUN,
        config="{}",
        features=dsl.Artifact(uri="/in/features"),
        model=dsl.Model(uri="/out/model"),
    )


def test_it_calls_the_step_and_returns_the_key() -> None:
    with patch(STEP, autospec=True, return_value="key") as step:
        assert call() == "key"
    step.assert_called_once_with(RunContext(**RUN), "{}", Path("/in/features"), Path("/out/model"))


def test_a_known_error_becomes_its_exit_code() -> None:
    error = TrainingError("loss is not finite")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == TrainingError.exit_code

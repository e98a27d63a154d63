"""The register component hands its arguments on, and its failure out."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans.components.register.component import register
from gtrans_core.errors import TrackingError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.register.register"
RUN = {
    "run_key": "r1",
    "category": "bottle",
    "store": "/store",
    "tracking_uri": "sqlite:///m.db",
    "experiment": "lab",
}


def call() -> Any:
    return register.python_func(
        **RUN,
        gate="{}",
        unsigned_models="allow",
        detector=dsl.Model(uri="/in/detector"),
        evaluation=dsl.Artifact(uri="/in/evaluation"),
    )


def test_it_calls_the_step_and_returns_the_version() -> None:
    with patch(STEP, autospec=True, return_value="3") as step:
        assert call() == "3"
    step.assert_called_once_with(
        RunContext(**RUN), "{}", "allow", Path("/in/detector"), Path("/in/evaluation")
    )


def test_a_known_error_becomes_its_exit_code() -> None:
    error = TrackingError("MLflow does not answer")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == TrackingError.exit_code

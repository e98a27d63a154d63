"""The check_drift component hands its arguments on, and its failure out."""

from typing import Any
from unittest.mock import patch

import pytest

from gtrans.components.check_drift.component import check_drift
from gtrans_core.errors import DriftError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.check_drift.check_drift"
RUN = {
    "run_key": "r1",
    "category": "bottle",
    "store": "/store",
    "tracking_uri": "sqlite:///m.db",
    "experiment": "lab",
}
HOW = {"since": "7d", "alpha": 0.01, "defect_share": 0.05, "fail_on_drift": True}


def call() -> Any:
    return check_drift.python_func(**RUN, **HOW)


def test_it_calls_the_step_and_returns_the_verdict() -> None:
    with patch(STEP, autospec=True, return_value="fine") as step:
        assert call() == "fine"
    step.assert_called_once_with(RunContext(**RUN), **HOW)


def test_drift_becomes_its_exit_code() -> None:
    error = DriftError("gtrans-bottle version 1: retrain: ...")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == DriftError.exit_code

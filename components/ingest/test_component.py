"""The ingest component hands its arguments on, and its failure out."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans.components.ingest.component import ingest
from gtrans_core.errors import DataError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.ingest.ingest"
RUN = {
    "run_key": "r1",
    "category": "bottle",
    "store": "/store",
    "tracking_uri": "sqlite:///m.db",
    "experiment": "lab",
}


def call() -> Any:
    return ingest.python_func(
        **RUN,
        source="demo",
        config="{}",
        train_data=dsl.Dataset(uri="/out/train"),
        test_data=dsl.Dataset(uri="/out/test"),
    )


def test_it_calls_the_step_and_returns_the_digest() -> None:
    with patch(STEP, autospec=True, return_value="digest") as step:
        assert call() == "digest"
    step.assert_called_once_with(
        RunContext(**RUN), "demo", "{}", Path("/out/train"), Path("/out/test")
    )


def test_a_known_error_becomes_its_exit_code() -> None:
    error = DataError("bad.png: truncated")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == DataError.exit_code

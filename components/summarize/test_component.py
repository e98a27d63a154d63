"""The summarize component hands its arguments on, and its failure out."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans.components.summarize.component import summarize
from gtrans_core.errors import CategoriesError
from gtrans_core.steps.context import RunContext

STEP = "gtrans_core.steps.summarize.summarize"
RUN = {"run_key": "r1", "store": "/store", "tracking_uri": "sqlite:///m.db", "experiment": "lab"}


def call() -> Any:
    return summarize.python_func(
        **RUN,
        categories=[{"category": "nut", "gate": "{}"}, {"category": "bolt", "gate": "{}"}],
        ranking=dsl.Artifact(uri="/out/ranking"),
        summary=dsl.Markdown(uri="/out/summary"),
    )


def test_it_calls_the_step_and_returns_how_it_went() -> None:
    with patch(STEP, autospec=True, return_value="2 of 2") as step:
        assert call() == "2 of 2"
    step.assert_called_once_with(
        RunContext(**RUN, category=""),
        ["nut", "bolt"],
        Path("/out/ranking"),
        Path("/out/summary"),
    )


def test_a_failed_category_becomes_its_exit_code() -> None:
    error = CategoriesError("1 of 2 categories are registered; failed: nut")
    with patch(STEP, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == CategoriesError.exit_code

"""Every component hands its arguments on to its step, and the step's failure out."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from kfp import dsl

from gtrans_core.errors import (
    CategoriesError,
    DataError,
    DriftError,
    GTransError,
    ModelError,
    TrackingError,
    TrainingError,
    WeightsError,
)
from gtrans_core.steps.context import RunContext

COMPONENTS = Path(import_module("gtrans.components").__file__ or "").parent
RUN = {"run_key": "r1", "store": "/store", "tracking_uri": "sqlite:///m.db", "experiment": "lab"}
OF_A_CATEGORY = {"category": "bottle"}
JUDGED = {"config": "{}", "gate": "{floors}", "data_digest": "d1"}
EVALUATED = ("model", "features", "train_data", "test_data", "detector", "report", "evaluation")
DRIFT = {"since": "7d", "alpha": 0.01, "defect_share": 0.05, "fail_on_drift": True}


@dataclass(frozen=True)
class Case:
    """A component: what it is called with, and what its step is then called with."""

    name: str
    given: dict[str, Any]
    passed_on: tuple[Any, ...]
    """Behind the run's context."""
    error: type[GTransError]
    artifacts: tuple[str, ...] = ()
    """It is given artifacts under these names, each at the path of its name."""
    options: dict[str, Any] | None = None
    returned: Any = "what the step returned"

    def call(self) -> Any:
        component = getattr(import_module(f"gtrans.components.{self.name}.component"), self.name)
        artifacts = {name: dsl.Artifact(uri=f"/{name}") for name in self.artifacts}
        return component.python_func(**RUN, **self.given, **artifacts)

    @property
    def step(self) -> str:
        return f"gtrans_core.steps.{self.name}.{self.name}"


CASES = [
    Case(
        "ingest",
        {**OF_A_CATEGORY, "source": "demo", "config": "{}"},
        ("demo", "{}", Path("/train_data"), Path("/test_data")),
        DataError,
        ("train_data", "test_data"),
    ),
    Case(
        "cache_features",
        {**OF_A_CATEGORY, "config": "{}", "cache_store": "s3://bucket/caches"},
        ("{}", Path("/train_data"), Path("/features")),
        WeightsError,
        ("train_data", "features"),
        {"cache_store": "s3://bucket/caches"},
    ),
    Case(
        "train",
        {**OF_A_CATEGORY, "config": "{}"},
        ("{}", Path("/features"), Path("/model")),
        TrainingError,
        ("features", "model"),
    ),
    Case(
        "evaluate",
        {**OF_A_CATEGORY, **JUDGED, "metrics": dsl.Metrics()},
        ("{}", "{floors}", "d1", *(Path(f"/{name}") for name in EVALUATED)),
        ModelError,
        EVALUATED,
        returned={"image_auroc": 0.99, "au_pro_30": 0.93},
    ),
    Case(
        "register",
        {**OF_A_CATEGORY, "gate": "{}", "unsigned_models": "allow"},
        ("{}", "allow", Path("/detector"), Path("/evaluation")),
        TrackingError,
        ("detector", "evaluation"),
    ),
    Case(
        "summarize",
        {"categories": [{"category": "nut", "gate": "{}"}, {"category": "bolt", "gate": "{}"}]},
        (["nut", "bolt"], Path("/ranking"), Path("/summary")),
        CategoriesError,
        ("ranking", "summary"),
    ),
    Case("check_drift", {**OF_A_CATEGORY, **DRIFT}, (), DriftError, options=DRIFT),
]
each_component = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_component_is_here() -> None:
    there = {path.parent.name for path in COMPONENTS.glob("*/component.py")}
    assert {case.name for case in CASES} == there


@each_component
def test_it_calls_the_step_and_returns_what_that_returns(case: Case) -> None:
    with patch(case.step, autospec=True, return_value=case.returned) as step:
        assert case.call() == case.returned
    context = RunContext(**RUN, category=case.given.get("category", ""))
    step.assert_called_once_with(context, *case.passed_on, **(case.options or {}))


@each_component
def test_a_known_error_becomes_its_exit_code(case: Case) -> None:
    error = case.error("the reason")
    with patch(case.step, autospec=True, side_effect=error), pytest.raises(SystemExit) as stop:
        case.call()
    assert stop.value.code == case.error.exit_code


def test_evaluate_shows_kubeflow_its_metrics() -> None:
    [case] = (case for case in CASES if case.name == "evaluate")
    with patch(case.step, autospec=True, return_value=case.returned):
        case.call()
    assert case.given["metrics"].metadata == case.returned

"""Every component hands its arguments on to its step, and the step's failure out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kfp import dsl
from sklearn.metrics import roc_auc_score, roc_curve

from gtrans.components.described import INPUTS, OUTPUTS, described
from gtrans.components.shown import _roc_curve, markdown, roc_points, show_evaluation
from gtrans_core.config import GTransConfig, load_config, with_run_parameters
from gtrans_core.errors import (
    CategoriesError,
    ConfigError,
    DataError,
    DriftError,
    GTransError,
    ModelError,
    TrackingError,
    TrainingError,
    WeightsError,
)
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.steps.context import RunContext
from tests.support.records import evaluation_record

COMPONENTS = Path(import_module("gtrans.components").__file__ or "").parent
RUN = {"run_key": "r1", "store": "/store", "tracking_uri": "sqlite:///m.db", "experiment": "lab"}
OF_A_CATEGORY = {"category": "bottle"}
JUDGED = {"config": "{}", "gate": "{floors}", "data_digest": "d1"}
EVALUATED = ("model", "features", "train_data", "test_data", "detector", "report", "evaluation")
SHOWN = {"classification": dsl.ClassificationMetrics(), "headline": dsl.Markdown(uri="/headline")}
CONFIG = GTransConfig().to_json()
KNOBS = {"seed": -1, "epochs": -1, "image_size": -1, "effort": ""}
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
    """By the step."""
    answer: Any = None
    """Of the component; None: that of the step."""

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
        {**OF_A_CATEGORY, "source": "demo", "config": CONFIG, **KNOBS},
        ("demo", CONFIG, Path("/train_data"), Path("/test_data")),
        DataError,
        ("train_data", "test_data"),
        answer=("what the step returned", CONFIG),
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
        {**OF_A_CATEGORY, **JUDGED, "metrics": dsl.Metrics(), **SHOWN},
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


@pytest.fixture(autouse=True)
def shown() -> Iterator[MagicMock]:
    """What evaluate reads of the folder that its step would have written."""
    with patch("gtrans.components.shown.show_evaluation", autospec=True) as mock:
        yield mock


each_component = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def test_every_component_is_here() -> None:
    there = {path.parent.name for path in COMPONENTS.glob("*/component.py")}
    assert {case.name for case in CASES} == there


@each_component
def test_it_calls_the_step_and_returns_what_that_returns(case: Case) -> None:
    with patch(case.step, autospec=True, return_value=case.returned) as step:
        assert case.call() == (case.answer or case.returned)
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


def test_evaluate_shows_kubeflow_its_evaluation(shown: MagicMock) -> None:
    [case] = (case for case in CASES if case.name == "evaluate")
    with patch(case.step, autospec=True, return_value=case.returned):
        case.call()
    shown.assert_called_once_with(
        Path("/evaluation"), case.given["classification"], Path("/headline")
    )


def test_knobs_of_their_own_are_part_of_the_config_that_goes_on() -> None:
    [case] = (case for case in CASES if case.name == "ingest")
    given = load_config(overrides=["training.steps=9"]).to_json()
    knobs = {"config": given, "seed": 3, "epochs": 2, "image_size": 128}
    case = replace(case, given={**case.given, **knobs})
    with patch(case.step, autospec=True, return_value="d1"):
        digest, config = case.call()
    settled = GTransConfig.from_json(config)
    assert digest == "d1"
    assert (settled.seed, settled.training.epochs, settled.image.size) == (3, 2, 128)
    case = replace(case, given={**case.given, "epochs": -1, "effort": "fast"})
    with patch(case.step, autospec=True, return_value="d1"):
        settled = GTransConfig.from_json(case.call()[1])
    training = settled.training
    assert (training.effort, training.steps, training.epochs) == ("fast", None, None)
    case = replace(case, given={**case.given, "image_size": 100})
    with patch(case.step, autospec=True), pytest.raises(SystemExit) as stop:
        case.call()
    assert stop.value.code == ConfigError.exit_code


RECORD = evaluation_record(
    per_defect=(DefectResult("dent", 4, 3, None, None), DefectResult("a|b", 2, 2, None, None)),
    good_images=5,
    good_flagged=1,
)


def test_the_headline_and_the_matrix_are_those_of_the_record(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    classification = dsl.ClassificationMetrics()
    show_evaluation(tmp_path, classification, tmp_path / "headline.md")
    text = (tmp_path / "headline.md").read_text()
    assert text == markdown(RECORD)
    assert text.startswith("**5 of 6 defects caught, 1 of 5 false alarms, threshold 0.5.**\n")
    assert "| dent | 3 of 4 |\n| a b | 2 of 2 |" in text
    matrix = classification.metadata["confusionMatrix"]
    assert [row["row"] for row in matrix["rows"]] == [[4, 1], [1, 5]]
    assert "confidenceMetrics" not in classification.metadata


def test_the_roc_is_that_of_the_scores_and_has_no_infinity(tmp_path: Path) -> None:
    RECORD.write(tmp_path)
    rng = np.random.default_rng(0)
    labels = ["good", "defective"] * 1000
    scores = rng.normal(size=2000) + np.array([0.0, 1.0] * 1000)
    table = tmp_path / "images.parquet"
    pq.write_table(pa.table({"label": labels, "score": scores}), table)
    false_alarms, caught, thresholds = roc_points(table)
    assert len(thresholds) == len(false_alarms) <= 200
    assert np.isfinite(thresholds).all()
    assert (false_alarms[0], caught[0], false_alarms[-1], caught[-1]) == (0, 0, 1, 1)
    expected = roc_auc_score([label != "good" for label in labels], scores)
    assert np.trapezoid(caught, false_alarms) == pytest.approx(expected, abs=2e-3)
    classification = dsl.ClassificationMetrics()
    show_evaluation(tmp_path, classification, tmp_path / "headline.md")
    points = classification.metadata["confidenceMetrics"]
    assert len(points) == len(thresholds)
    json.dumps(points, allow_nan=False)


def test_what_has_no_description_is_found_when_it_is_written() -> None:
    def component(run_key: str, unheard_of: str) -> str:
        """Does things."""
        return run_key + unheard_of

    with pytest.raises(KeyError, match="unheard_of"):
        described("What.")(component)


@pytest.mark.parametrize("text", [*INPUTS.values(), *OUTPUTS.values()])
def test_a_description_is_one_plain_line(text: str) -> None:
    assert text[0].isupper() or text.startswith("refuse")
    assert text.endswith(".")
    assert text.isascii()


def test_the_roc_curve_is_scikit_learns():
    rng = np.random.default_rng(0)
    for count in (2, 3, 10, 300):
        defective = rng.random(count) < 0.5
        defective[:2] = True, False
        scores = rng.integers(0, rng.integers(1, 40), count) / 7
        ours, theirs = _roc_curve(defective, scores), roc_curve(defective, scores)
        assert all(map(np.array_equal, ours, theirs))


def test_two_lengths_of_one_training_are_refused() -> None:
    with pytest.raises(ConfigError, match="effort and epochs are both given"):
        with_run_parameters(CONFIG, epochs=3, effort="fast")
    with pytest.raises(ConfigError, match=r"training\.effort"):
        with_run_parameters(CONFIG, effort="much")


def test_the_roc_of_equal_scores_is_the_diagonal(tmp_path: Path) -> None:
    table = tmp_path / "images.parquet"
    pq.write_table(pa.table({"label": ["good", "defective"], "score": [0.5, 0.5]}), table)
    assert roc_points(table) == ([0.0, 1.0], [0.0, 1.0], [1.5, 0.5])

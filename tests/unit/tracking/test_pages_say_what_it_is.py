"""What MLflow's pages say: descriptions, who made a run, and that a ledger is no model."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import uuid4

import pytest

from gtrans.pipelines.gates import load_gate
from gtrans_core import __version__
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.tracking.promotion.promotion import promote
from gtrans_core.tracking.runs import open_run
from tests.support.records import evaluation_record


def test_a_run_says_who_made_it_with_what_and_what_came_out(settings, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
    monkeypatch.setenv("GTRANS_GIT_SHA", "c" * 40)
    run = open_run(settings, uuid4().hex, "bottle")
    run.describe("55 of 60 defects caught")
    tags = run.client.get_run(run.run_id).data.tags
    assert tags["mlflow.user"] == "ada"
    assert tags["mlflow.source.name"] == f"gtrans {__version__}"
    assert tags["mlflow.source.type"] == "LOCAL"
    assert tags["mlflow.source.git.commit"] == "c" * 40
    assert tags["mlflow.note.content"] == "55 of 60 defects caught"


def test_an_experiment_is_described_and_opens_with_its_runs(settings):
    settings = replace(settings, experiment=f"e-{uuid4().hex}")
    run = open_run(settings, uuid4().hex, "bottle")
    tags = run.client.get_experiment_by_name(settings.experiment).tags
    assert "gtrans compare" in tags["mlflow.note.content"]
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_models_versions_and_the_ledger_are_described(shelf):
    shelf.register("one", description="55 of 60 defects caught")
    model = shelf.client.get_registered_model(shelf.name)
    assert model.description.startswith(f"Detectors of {shelf.category}")
    promote(shelf.client, shelf.category, load_gate())
    version = shelf.client.get_model_version(shelf.name, "1")
    assert version.description == "55 of 60 defects caught; gate passed"
    ledger = f"gtrans.promotions.{shelf.category}"
    assert shelf.client.get_registered_model(ledger).description.startswith("Not a model")
    [move] = shelf.client.search_model_versions(f"name = '{ledger}'")
    assert move.description.startswith("Not a model: promote none -> 1")


def test_judged_again_the_description_has_the_last_verdict_alone(shelf):
    shelf.register("one", description="55 of 60 defects caught")
    for name in ("reasons", "champion"):
        shelf.client.set_model_version_tag(shelf.name, "1", f"gtrans.gate.{name}", "old")
    for _ in range(2):
        promote(shelf.client, shelf.category, load_gate())
    version = shelf.client.get_model_version(shelf.name, "1")
    assert version.description == "55 of 60 defects caught; gate passed"
    assert {name for name in version.tags if name.startswith("gtrans.gate")} == {
        "gtrans.gate",
        "gtrans.gate.verdict",
    }
    assert json.loads(version.tags["gtrans.gate.verdict"])["champion"] == "none"


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({}, "not tested on defects, 3 of 30 false alarms, threshold 0.5"),
        (
            {"per_defect": (DefectResult("dent", 60, 55, None, None),), "threshold": 1.06215},
            "55 of 60 defects caught, 3 of 30 false alarms, threshold 1.062",
        ),
        ({"good_images": 0, "good_flagged": 0}, "not tested on defects, threshold 0.5"),
    ],
)
def test_a_record_in_short(facts: dict, line: str):
    assert evaluation_record(**facts).in_short == line


def test_what_a_plant_asks_for_first_comes_first():
    record = evaluation_record(per_defect=(DefectResult("dent", 60, 55, None, None),))
    names = list(record.numbers())
    assert names[:3] == ["defects_missed", "false_alarms", "image_auroc"]
    assert (record.numbers()["defects_missed"], record.numbers()["false_alarms"]) == (5, 3)
    charted = record.charted()
    assert list(charted)[:3] == [f"Headline/{name}" for name in names[:3]]
    sections = {name.rpartition("/")[0] for name in charted if "/" in name}
    assert min(sections) == "Headline"
    assert {name: charted[name] for name in names} == record.numbers()

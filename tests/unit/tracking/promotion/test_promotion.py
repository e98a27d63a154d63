"""Promotion, rollback and history on an embedded registry, with plain files for detectors."""

from __future__ import annotations

import json

import pytest

from gtrans_core.errors import GateError, ModelError, SupersededError
from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.promotion.ledger import LEDGER_PREFIX
from gtrans_core.tracking.promotion.promotion import (
    PromotionResult,
    judge_new_version,
    promote,
    read_history,
    rollback,
)
from gtrans_core.tracking.promotion.verdicts import Judgement
from gtrans_core.tracking.registry.registry import fetch_model

GATE = Gate(
    floors={"image_auroc": 0.9},
    minimum_gain={"image_auroc": 0.0},
    maximum_loss_per_defect={"caught": 0.1},
    minimum_test_images=20,
    same_data_as_champion=True,
    as_many_test_images_as_champion=True,
)


def moves(shelf) -> list[tuple[str, int | None, int]]:
    found = read_history(shelf.client, shelf.category).moves
    return [(m.move.kind, m.move.previous, m.move.champion) for m in found]


def crown(shelf, *contents: str) -> None:
    """Register and promote, one after the other."""
    for content in contents:
        shelf.register(content)
        promote(shelf.client, shelf.category, GATE)


class TestPromote:
    def test_the_challenger_becomes_champion(self, shelf):
        shelf.register("one")
        outcome = promote(shelf.client, shelf.category, GATE, why="first")
        assert outcome == PromotionResult(champion=1, previous=None, moved=True)
        assert (shelf.alias("champion"), shelf.alias("challenger")) == (1, None)
        assert moves(shelf) == [("promote", None, 1)]

    def test_the_verdict_and_the_story_are_on_the_version(self, shelf, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        crown(shelf, "one")
        shelf.register("two", image_auroc=0.995)
        promote(shelf.client, shelf.category, GATE, why="better light")
        tags = shelf.tags(2)
        said = json.loads(tags["gtrans.gate.verdict"])
        assert (tags["gtrans.gate"], said["champion"]) == ("passed", "1")
        assert said["reasons"] == []
        assert Gate.from_json(json.dumps(said["thresholds"])) == GATE
        assert "image_auroc 0.9950: expected at least 0.9900 (the champion's)" in (said["evidence"])
        story = json.loads(tags["gtrans.promotion"])
        assert (story["who"], story["why"], story["previous"]) == ("ada", "better light", 1)
        assert story["metrics"] == {"image_auroc": 0.995}

    def test_a_named_version_leaves_another_challenger_alone(self, shelf):
        shelf.register("one")
        shelf.register("two")
        assert promote(shelf.client, shelf.category, GATE, 1).champion == 1
        assert (shelf.alias("champion"), shelf.alias("challenger")) == (1, 2)

    def test_a_worse_one_is_refused_with_every_reason(self, shelf):
        crown(shelf, "one")
        worse = {"metric.defect/dent/caught": "0.5", "data_digest": "e" * 64}
        shelf.register("two", image_auroc=0.89, **worse)
        with pytest.raises(GateError, match=r"version 2 is not promoted: image_auroc .*data eee"):
            promote(shelf.client, shelf.category, GATE)
        assert shelf.alias("champion") == 1
        assert shelf.tags(2)["gtrans.gate"] == "refused"
        reasons = json.loads(shelf.tags(2)["gtrans.gate.verdict"])["reasons"]
        assert len(reasons) == 4
        assert moves(shelf) == [("promote", None, 1)]

    def test_again_changes_nothing(self, shelf):
        crown(shelf, "one")
        for version in (None, 1):
            outcome = promote(shelf.client, shelf.category, GATE, version)
            assert outcome == PromotionResult(champion=1, previous=1, moved=False)
        assert moves(shelf) == [("promote", None, 1)]

    def test_the_champion_registered_again_is_no_challenger_for_long(self, shelf):
        crown(shelf, "one")
        shelf.register("one")
        assert shelf.alias("challenger") == 1
        assert not promote(shelf.client, shelf.category, GATE).moved
        assert shelf.alias("challenger") is None

    def test_a_dry_run_judges_and_changes_nothing(self, shelf):
        shelf.register("one")
        before = shelf.tags(1)
        seen: list[Judgement] = []
        outcome = promote(shelf.client, shelf.category, GATE, dry_run=True, on_verdict=seen.append)
        assert outcome == PromotionResult(champion=1, previous=None, moved=True)
        assert seen[0].verdict.passed
        assert (shelf.alias("champion"), shelf.alias("challenger")) == (None, 1)
        assert shelf.tags(1) == before
        assert moves(shelf) == []

    def test_a_dry_run_is_refused_as_the_real_one_would_be(self, shelf):
        shelf.register("one", image_auroc=0.5)
        with pytest.raises(GateError):
            promote(shelf.client, shelf.category, GATE, dry_run=True)
        assert "gtrans.gate" not in shelf.tags(1)

    def test_a_damaged_version_never_becomes_champion(self, shelf):
        shelf.register("one")
        (shelf.stored(1) / "trans.safetensors").write_text("odd")
        with pytest.raises(ModelError, match=r"trans\.safetensors was changed"):
            promote(shelf.client, shelf.category, GATE)
        assert shelf.alias("champion") is None

    def test_what_is_not_there(self, shelf):
        with pytest.raises(ModelError, match=f"{shelf.name} is not in the registry; `gtrans run"):
            promote(shelf.client, shelf.category, GATE)
        shelf.register("one")
        with pytest.raises(ModelError, match="has no version 7"):
            promote(shelf.client, shelf.category, GATE, 7)
        shelf.client.delete_registered_model_alias(shelf.name, "challenger")
        with pytest.raises(ModelError, match="neither a challenger nor a champion"):
            promote(shelf.client, shelf.category, GATE)

    def test_a_champion_from_before_the_first_promotion_counts(self, shelf):
        shelf.register("one", image_auroc=0.97)
        shelf.client.set_registered_model_alias(shelf.name, "champion", "1")
        shelf.register("two", image_auroc=0.93)
        with pytest.raises(GateError, match=r"0\.9300: .* least 0\.9700 \(the champion's\)"):
            promote(shelf.client, shelf.category, GATE)
        shelf.register("three", image_auroc=0.98)
        assert promote(shelf.client, shelf.category, GATE).previous == 1
        assert rollback(shelf.client, shelf.category).champion == 1

    def test_an_alias_moved_by_hand_is_set_back_and_told(self, shelf):
        crown(shelf, "one")
        shelf.register("two")
        shelf.client.set_registered_model_alias(shelf.name, "champion", "2")
        assert read_history(shelf.client, shelf.category).alias == 2
        outcome = promote(shelf.client, shelf.category, GATE, 1)
        assert shelf.alias("champion") == 1
        assert "pointed to version 2" in outcome.notes[0]

    def test_a_deleted_champion_is_told_and_the_floors_remain(self, shelf):
        crown(shelf, "one")
        shelf.client.delete_model_version(shelf.name, "1")
        shelf.register("two", image_auroc=0.95)
        outcome = promote(shelf.client, shelf.category, GATE)
        assert (outcome.champion, shelf.alias("champion")) == (2, 2)
        assert "version 1, was deleted" in outcome.notes[0]


class TestRollback:
    def test_goes_back_one_champion_at_a_time(self, shelf):
        crown(shelf, "one", "two", "three")
        assert rollback(shelf.client, shelf.category, why="odd scores").champion == 2
        assert shelf.alias("champion") == 2
        assert rollback(shelf.client, shelf.category).champion == 1
        with pytest.raises(ModelError, match="no earlier champion"):
            rollback(shelf.client, shelf.category)
        assert moves(shelf)[3:] == [("rollback", 3, 2), ("rollback", 2, 1)]

    def test_after_a_new_promotion_it_goes_back_to_where_that_came_from(self, shelf):
        crown(shelf, "one", "two")
        rollback(shelf.client, shelf.category)
        crown(shelf, "three")
        assert rollback(shelf.client, shelf.category).champion == 1

    def test_a_version_that_was_rolled_back_returns_only_when_told(self, shelf):
        crown(shelf, "one", "two")
        rollback(shelf.client, shelf.category, why="odd scores")
        shelf.register("two")  # the same training once more: challenger again
        with pytest.raises(GateError, match=r"rolled back .*; why: odd scores\): say --again"):
            promote(shelf.client, shelf.category, GATE)
        assert promote(shelf.client, shelf.category, GATE, again=True).champion == 2
        assert not promote(shelf.client, shelf.category, GATE, 2).moved

    def test_a_damaged_predecessor_is_refused(self, shelf):
        crown(shelf, "one", "two")
        (shelf.stored(1) / "trans.safetensors").write_text("odd")
        with pytest.raises(ModelError, match=r"/1: file trans\.safetensors was changed"):
            rollback(shelf.client, shelf.category)
        assert shelf.alias("champion") == 2
        assert len(moves(shelf)) == 2

    def test_a_deleted_predecessor_is_passed_over(self, shelf):
        crown(shelf, "one", "two", "three")
        shelf.client.delete_model_version(shelf.name, "2")
        assert rollback(shelf.client, shelf.category).champion == 1
        with pytest.raises(ModelError, match="no earlier champion"):
            rollback(shelf.client, shelf.category)

    def test_a_dry_run_checks_and_changes_nothing(self, shelf):
        crown(shelf, "one", "two")
        assert rollback(shelf.client, shelf.category, dry_run=True) == PromotionResult(1, 2, True)
        assert shelf.alias("champion") == 2
        (shelf.stored(1) / "trans.safetensors").write_text("odd")
        with pytest.raises(ModelError, match="was changed"):
            rollback(shelf.client, shelf.category, dry_run=True)

    def test_nothing_to_go_back_to(self, shelf):
        shelf.register("one")
        with pytest.raises(ModelError, match="no earlier champion"):
            rollback(shelf.client, shelf.category)


class TestRegistered:
    def test_a_new_version_carries_the_verdict_and_nothing_moves(self, shelf):
        crown(shelf, "one")
        shelf.register("two", image_auroc=0.95)
        judgement = judge_new_version(shelf.client, shelf.category, 2, GATE)
        assert (judgement.champion, judgement.verdict.passed) == (1, False)
        assert shelf.tags(2)["gtrans.gate"] == "refused"
        assert (shelf.alias("champion"), shelf.alias("challenger")) == (1, 2)

    def test_the_champion_is_not_judged_against_itself(self, shelf):
        crown(shelf, "one")
        before = shelf.tags(1)
        strict = GATE.model_copy(update={"minimum_gain": {"image_auroc": 0.01}})
        assert judge_new_version(shelf.client, shelf.category, 1, strict).verdict.passed
        assert shelf.tags(1) == before


class TestHistory:
    def test_says_who_when_from_to_why_and_the_metrics(self, shelf, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        crown(shelf, "one", "two")
        rollback(shelf.client, shelf.category, why="odd scores")
        last = read_history(shelf.client, shelf.category).moves[-1].move
        assert (last.who, last.why, last.previous, last.champion) == ("ada", "odd scores", 2, 1)
        assert last.when.endswith("+00:00")
        assert last.metrics == {"image_auroc": 0.99}

    def test_what_somebody_else_put_into_the_ledger_is_passed_over(self, shelf):
        crown(shelf, "one")
        ledger = LEDGER_PREFIX + shelf.category
        shelf.client.create_model_version(ledger, f"models:/{shelf.name}/1")
        shelf.client.create_model_version(
            ledger, f"models:/{shelf.name}/1", tags={"gtrans.move": "{}"}
        )
        assert moves(shelf) == [("promote", None, 1)]
        crown(shelf, "two")
        assert moves(shelf) == [("promote", None, 1), ("promote", 1, 2)]

    def test_the_ledger_is_not_offered_as_a_model(self, shelf):
        crown(shelf, "one")
        with pytest.raises(ModelError) as error:
            fetch_model(shelf.client, "models:/gtrans-nothing@champion", shelf.scratch)
        assert LEDGER_PREFIX not in str(error.value)

    def test_a_user_without_a_name(self, shelf, monkeypatch):
        monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)

        def nameless() -> str:
            raise KeyError("getpwuid(): uid not found")

        monkeypatch.setattr("getpass.getuser", nameless)
        crown(shelf, "one")
        [recorded] = read_history(shelf.client, shelf.category).moves
        assert recorded.move.who.startswith("user ")


def test_superseded_and_refused_end_differently():
    assert len({GateError.exit_code, SupersededError.exit_code, ModelError.exit_code}) == 3

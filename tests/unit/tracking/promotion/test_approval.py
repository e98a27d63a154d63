"""Signed evidence and signed approvals: what anybody can write into a registry moves nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from gtrans_core.detector.files import detector_digest
from gtrans_core.detector.model_name import alias_uri
from gtrans_core.errors import GateError, ModelError
from gtrans_core.tracking.promotion.approval import require_approved
from gtrans_core.tracking.promotion.ledger import APPROVAL_TAG, LEDGER_PREFIX, MOVE_TAG
from gtrans_core.tracking.promotion.promotion import promote, rollback
from gtrans_core.tracking.registry.loading import load_registered
from gtrans_core.tracking.registry.model import EVIDENCE_NAME
from gtrans_core.tracking.registry.signing import sign_version
from gtrans_core.tracking.registry.versions import version_now
from gtrans_core.tracking.verify import verify_registered
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.seen import SeenApprovals
from gtrans_core.trust.signature import sign_folder
from tests.support.promoters import GATE

ANYBODY = TrustPolicy(unsigned="allow")


class Plant:
    """A category whose models and moves are signed."""

    def __init__(self, shelf, folder: Path) -> None:
        private, public = make_key_pair(folder / "keys")
        self.shelf, self.client = shelf, shelf.client
        self.key, self.trust = SigningKey(private), TrustPolicy(public)

    def register(self, content: str, image_auroc: float = 0.95) -> int:
        number = self.shelf.register(content, image_auroc).version
        sign_version(self.client, self.shelf.category, number, self.key)
        return number

    def promote(self, **options) -> int:
        options = {"trust": self.trust, "key": self.key, **options}
        return promote(self.client, self.shelf.category, GATE, **options).champion

    def tag(self, number: int, tag: str, value: str) -> None:
        self.client.set_model_version_tag(self.shelf.name, str(number), f"gtrans.{tag}", value)

    def move_alias(self, number: int) -> None:
        self.client.set_registered_model_alias(self.shelf.name, "champion", str(number))

    def champion(self):
        return version_now(self.client, alias_uri(self.shelf.category, "champion"))

    def approved(self, earliest: int = 0) -> int:
        return require_approved(self.client, self.champion(), self.trust, earliest)

    def moves(self) -> list:
        name = f"{LEDGER_PREFIX}{self.shelf.category}"
        found = self.client.search_model_versions(f"name = '{name}'")
        return sorted(found, key=lambda version: int(version.version))

    def evidence(self, number: int) -> Path:
        return self.shelf.stored(number).parents[1] / EVIDENCE_NAME


@pytest.fixture
def plant(shelf, tmp_path) -> Plant:
    return Plant(shelf, tmp_path)


class TestEvidence:
    @pytest.mark.parametrize("claimed", ["5.0", "1.01", "-0.1", "nan", "inf", "1e999", "0.999"])
    def test_a_metric_in_a_tag_neither_passes_nor_bars(self, plant, claimed):
        plant.register("one", 0.95)
        plant.tag(1, "metric.image_auroc", claimed)
        assert plant.promote() == 1
        plant.register("two", 0.96)  # better than what version 1 was signed with
        plant.tag(2, "metric.image_auroc", "0.1")
        assert plant.promote() == 2

    @pytest.mark.parametrize("claimed", ["5.0", "1.01", "-0.1", "nan", "inf"])
    def test_unsigned_an_impossible_metric_never_passes(self, plant, claimed):
        plant.shelf.register("one")
        plant.tag(1, "metric.image_auroc", claimed)
        with pytest.raises(GateError, match="image_auroc is "):
            plant.promote(trust=ANYBODY, key=None)

    def test_a_bad_model_with_good_tags_does_not_pass(self, plant):
        plant.register("one", 0.5)
        plant.tag(1, "metric.image_auroc", "0.99")
        with pytest.raises(GateError, match=r"image_auroc 0\.5000: expected at least 0\.9"):
            plant.promote()

    def test_evidence_that_was_changed_is_refused(self, plant):
        plant.register("one", 0.5)
        facts = json.loads(plant.evidence(1).read_text())
        plant.evidence(1).write_text(json.dumps(facts | {"metrics": {"image_auroc": 0.99}}))
        with pytest.raises(ModelError, match=r"evidence\.json was changed after it was signed"):
            plant.promote()

    def test_signed_but_impossible_evidence_does_not_pass(self, plant):
        plant.register("one")
        facts = json.loads(plant.evidence(1).read_text())
        plant.evidence(1).write_text(json.dumps(facts | {"metrics": {"image_auroc": 5.0}}))
        sign_folder(plant.evidence(1).parent, plant.key)
        with pytest.raises(GateError, match=r"image_auroc is 5\.0, expected 0 to 1"):
            plant.promote()

    def test_a_model_signed_before_there_was_evidence_is_judged_by_its_tags(self, plant):
        plant.register("one")
        plant.evidence(1).unlink()
        sign_folder(plant.evidence(1).parent, plant.key)
        assert plant.promote() == 1

    def test_but_not_against_a_champion_whose_evidence_is_signed(self, plant):
        plant.register("one")
        assert plant.promote() == 1
        plant.register("two", 0.99)
        plant.evidence(2).unlink()
        sign_folder(plant.evidence(2).parent, plant.key)
        with pytest.raises(GateError, match=r"gtrans sign \w+ --version 2"):
            plant.promote()

    def test_a_champion_of_before_there_was_a_key_can_be_followed(self, plant):
        plant.shelf.register("one", 0.95)
        plant.promote(trust=ANYBODY, key=None)
        plant.register("two", 0.96)
        assert plant.promote() == 2


class TestApproval:
    @pytest.fixture
    def two(self, plant) -> Plant:
        """Version 2 is the champion, after 1."""
        for content, image_auroc in (("one", 0.95), ("two", 0.96)):
            plant.register(content, image_auroc)
            plant.promote()
        return plant

    def test_the_champion_is_approved(self, two):
        assert two.champion().version == 2
        assert two.approved() > 0

    def test_an_alias_moved_by_hand_is_refused(self, two):
        two.move_alias(1)
        with pytest.raises(ModelError, match="is of another: version 2 was approved last"):
            two.approved()
        uri = alias_uri(two.shelf.category, "champion")
        with pytest.raises(ModelError, match="version 2 was approved last"):
            verify_registered(two.client, uri, two.trust)

    def test_an_alias_that_moves_between_two_looks_verifies_nothing_else(self, two, monkeypatch):
        """Approved is version 2; whoever looked twice could fetch version 1."""
        two.move_alias(1)
        looked = []

        def first_the_approved_one(*_):
            looked.append(True)
            return two.client.get_model_version(two.shelf.name, "2" if len(looked) == 1 else "1")

        monkeypatch.setattr(two.client, "get_model_version_by_alias", first_the_approved_one)
        monkeypatch.setattr("gtrans_core.tracking.verify.require_intact", lambda _: None)
        uri = alias_uri(two.shelf.category, "champion")
        assert verify_registered(two.client, uri, two.trust).what.endswith("version 2")
        assert len(looked) == 1

    def test_files_of_an_earlier_version_in_the_place_of_the_approved_ones_are_refused(self, two):
        """All of them signed, and a registry that agrees."""
        old, new = (two.shelf.stored(number).parents[1] for number in (1, 2))
        shutil.rmtree(new)
        shutil.copytree(old, new)
        two.tag(2, "files", two.shelf.tags(1)["gtrans.files"])
        uri = alias_uri(two.shelf.category, "champion")
        for load in (verify_registered, load_registered):
            with pytest.raises(ModelError, match="2: its detector is not the one that was approve"):
                load(two.client, uri, two.trust)

    def test_a_rollback_is_approved(self, two):
        rollback(two.client, two.shelf.category, trust=two.trust, key=two.key)
        assert two.champion().version == 1
        assert two.approved() > 0

    def test_a_move_that_nobody_signed_is_refused(self, two):
        last = two.moves()[-1]
        forged = json.loads(last.tags[MOVE_TAG])
        forged |= {"champion": 1, "previous": 2, "after": int(last.version), "token": "x"}
        for tags in (
            {MOVE_TAG: json.dumps(forged)},
            {MOVE_TAG: json.dumps(forged), APPROVAL_TAG: last.tags[APPROVAL_TAG]},
            {MOVE_TAG: json.dumps(forged), APPROVAL_TAG: "[" * 10_000},
        ):
            made = two.client.create_model_version(last.name, last.source, tags=tags)
            two.move_alias(1)
            with pytest.raises(ModelError, match="its approval"):
                two.approved()
            two.client.delete_model_version(last.name, made.version)

    def test_a_ledger_that_was_cut_is_noticed_by_whoever_saw_more(self, two):
        seen = two.approved()
        last = two.moves()[-1]
        two.client.delete_model_version(last.name, last.version)
        two.move_alias(1)
        assert two.approved() < seen  # nothing in the registry says that there was more
        with pytest.raises(ModelError, match="older than one that was there before"):
            two.approved(earliest=seen)

    def test_and_this_machine_is_who_saw_more_even_after_a_restart(self, two, tmp_path):
        trust = replace(two.trust, seen=SeenApprovals(tmp_path / "store" / "approvals.json"))
        require_approved(two.client, two.champion(), trust)
        last = two.moves()[-1]
        two.client.delete_model_version(last.name, last.version)
        two.move_alias(1)
        again = replace(trust, seen=SeenApprovals(trust.seen.path))
        with pytest.raises(ModelError, match=r"was the ledger cut.*delete .*approvals\.json"):
            require_approved(two.client, two.champion(), again)
        trust.seen.path.unlink()  # the registry was restored from a backup, say
        assert require_approved(two.client, two.champion(), again) == 0

    def test_a_promotion_without_a_key_is_signed_afterwards(self, plant):
        plant.register("one")
        plant.promote(key=None)
        with pytest.raises(ModelError, match=r"`gtrans promote \w+ --version 1` signs it"):
            plant.approved()
        plant.promote()  # says nothing about which: signs nothing
        with pytest.raises(ModelError, match="its approval is missing"):
            plant.approved()
        assert plant.promote(version=1) == 1
        plant.approved()

    def test_an_alias_without_any_promotion_is_refused(self, plant):
        plant.register("one")
        plant.move_alias(1)
        with pytest.raises(ModelError, match="no promotion is on record"):
            plant.approved()

    def test_what_was_signed_earlier_promises_less_and_still_loads(self, plant):
        plant.register("one")
        plant.evidence(1).unlink()
        sign_folder(plant.evidence(1).parent, plant.key)
        plant.promote(key=None)
        assert plant.approved() == 0

    def test_without_a_public_key_nothing_is_asked(self, plant):
        plant.shelf.register("one")
        plant.move_alias(1)
        assert require_approved(plant.client, plant.champion(), ANYBODY) == 0

    def test_the_digest_that_is_approved_is_the_detectors(self, two):
        assert two.champion().digest == detector_digest(two.shelf.stored(2))

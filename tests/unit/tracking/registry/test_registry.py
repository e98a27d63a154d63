from __future__ import annotations

import pytest

from gtrans_core.detector.model_name import CHALLENGER
from gtrans_core.errors import ModelError, TrackingError
from gtrans_core.tracking.registry import registry
from gtrans_core.tracking.registry.registry import fetch_model, register


class TestRegister:
    def test_new_detector_is_a_version_and_the_challenger(self, shelf):
        made, created = shelf.register_or_find("one")
        assert (made.name, made.version, created) == (shelf.name, 1, True)
        assert made.uri == f"models:/{shelf.name}/1"
        version = shelf.client.get_model_version_by_alias(shelf.name, CHALLENGER)
        assert version.version == 1
        assert version.run_id == shelf.run.run_id
        assert version.tags["gtrans.metric.image_auroc"] == "0.990000"
        assert version.tags["gtrans.data_digest"] == "d" * 64
        assert version.tags["gtrans.category"] == shelf.category

    def test_same_detector_is_no_second_version(self, shelf):
        shelf.register("one")
        shelf.register("two")
        again, created = shelf.register_or_find("one")
        assert (again.version, created) == (1, False)
        assert len(shelf.client.search_model_versions(f"name = '{shelf.name}'")) == 2
        assert shelf.client.get_model_version_by_alias(shelf.name, CHALLENGER).version == 1

    def test_a_version_of_an_earlier_release_gets_the_tags_it_lacks(self, shelf):
        shelf.register("one")
        shelf.client.delete_model_version_tag(shelf.name, "1", "gtrans.test_images")
        shelf.client.set_model_version_tag(shelf.name, "1", "gtrans.data_digest", "old")
        shelf.register("one")
        tags = shelf.client.get_model_version(shelf.name, "1").tags
        assert (tags["gtrans.test_images"], tags["gtrans.data_digest"]) == ("80", "old")

    def test_second_of_two_simultaneous_registrations_withdraws(self, shelf, monkeypatch):
        shelf.register("one")
        search, first_look = registry._version_of, iter([None])  # too early to see the other's
        monkeypatch.setattr(registry, "_version_of", lambda *a: next(first_look, search(*a)))
        late, created = shelf.register_or_find("one")
        assert (late.version, created) == (1, False)
        versions = shelf.client.search_model_versions(f"name = '{shelf.name}'")
        assert [version.version for version in versions] == [1]

    def test_folder_with_anything_else_is_refused(self, shelf):
        detector = shelf.detector("one")
        (detector / "weights.pkl").write_bytes(b"pickle")
        with pytest.raises(ModelError, match=r"weights\.pkl: a detector holds"):
            register(shelf.client, shelf.run.run_id, "models:/m-1", "bottle", detector, {})

    def test_model_that_was_never_logged(self, shelf):
        detector = shelf.detector("one")
        with pytest.raises(TrackingError, match="m-nothing"):
            register(
                shelf.client, shelf.run.run_id, "models:/m-nothing", shelf.category, detector, {}
            )


class TestFetch:
    def test_brings_the_same_bytes(self, shelf, tmp_path):
        shelf.register("one")
        shelf.register("two")
        by_alias = fetch_model(shelf.client, f"models:/{shelf.name}@challenger", tmp_path / "a")
        by_number = fetch_model(shelf.client, f"models:/{shelf.name}/1", tmp_path / "b")
        assert (by_alias / "trans.safetensors").read_text() == "two"
        assert (by_number / "trans.safetensors").read_text() == "one"
        assert sorted(path.name for path in by_number.iterdir()) == [
            "detector.json",
            "trans.safetensors",
        ]

    def test_replaces_what_was_fetched_before(self, shelf, tmp_path):
        for content in ("one", "two"):
            uri = shelf.register(content).uri
            folder = fetch_model(shelf.client, uri, tmp_path / "models")
            assert (folder / "trans.safetensors").read_text() == content
        assert list((tmp_path / "models").iterdir()) == [folder]

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (
                lambda f: (f / "trans.safetensors").write_text("odd"),
                "trans.safetensors was changed",
            ),
            (lambda f: (f / "trans.safetensors").unlink(), "trans.safetensors is missing"),
            (lambda f: (f / "more.json").write_text("{}"), "more.json does not belong"),
            (lambda f: (f / "evil.pkl").write_text("x"), "evil.pkl"),
        ],
    )
    def test_tampered_model_is_refused_and_not_left_behind(self, shelf, tmp_path, damage, message):
        uri = shelf.register().uri
        damage(shelf.stored(1))
        with pytest.raises(ModelError, match=message):
            fetch_model(shelf.client, uri, tmp_path / "fetched")
        assert list((tmp_path / "fetched").iterdir()) == []

    def test_version_of_somebody_else_is_refused(self, shelf, tmp_path):
        uri = shelf.register().uri
        shelf.client.delete_model_version_tag(shelf.name, "1", registry.FILES_TAG)
        with pytest.raises(ModelError, match="no list of files"):
            fetch_model(shelf.client, uri, tmp_path)

    def test_wrong_names_are_answered_with_the_right_ones(self, shelf, tmp_path):
        shelf.register()
        there_is = rf"{shelf.name} has the versions 1 and the aliases @challenger \(version 1\)"
        for suffix in ("@champion", "/7"):
            with pytest.raises(ModelError, match=there_is):
                fetch_model(shelf.client, f"models:/{shelf.name}{suffix}", tmp_path)
        with pytest.raises(ModelError, match=f"not in the registry; there is .*{shelf.name}"):
            fetch_model(shelf.client, "models:/gtrans-nothing@challenger", tmp_path)

    @pytest.mark.parametrize("uri", ["bottle", "models:/x", "models:/x/y", "models:/x/1@a"])
    def test_other_uris_are_refused(self, shelf, tmp_path, uri):
        with pytest.raises(ModelError, match="expected models:/NAME@ALIAS"):
            fetch_model(shelf.client, uri, tmp_path)

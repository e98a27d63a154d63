"""A registry that changes under those who read it: an alias that moves, a champion deleted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gtrans.serving.models import Champion, Models
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.model_name import alias_uri
from gtrans_core.errors import ModelError
from gtrans_core.tracking.client import set_alias
from gtrans_core.tracking.registry import loading, registry
from gtrans_core.tracking.registry.loading import load_registered
from gtrans_core.trust.policy import TrustPolicy
from tests.support.shelf import Shelf

ANYBODY = TrustPolicy(unsigned="allow")


@pytest.fixture
def two(shelf: Shelf, packaged_detector: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """Two versions of which the second is champion; each is scored with by one real detector."""
    detector = Detector.load(packaged_detector)
    monkeypatch.setattr(loading.Detector, "load", lambda _: detector)
    for content in ("one", "two"):
        shelf.register(content)
    set_alias(shelf.client, shelf.name, "champion", 2)
    return shelf


@pytest.fixture
def served(two: Shelf) -> Models:
    models = Models([Champion(two.client.tracking_uri, two.category, ANYBODY)])
    assert version_of(models) == 2
    return models


def version_of(models: Models) -> int:
    [model] = models.all()
    return model.version


def no_alias(shelf: Shelf) -> None:
    shelf.client.delete_registered_model_alias(shelf.name, "champion")


def no_version(shelf: Shelf) -> None:
    shelf.client.delete_model_version(shelf.name, "2")


def no_model(shelf: Shelf) -> None:
    shelf.client.delete_registered_model(shelf.name)


@pytest.mark.parametrize("goes", [no_alias, no_version, no_model], ids=lambda do: do.__name__)
def test_what_is_served_goes_on_without_its_champion(
    goes: Callable[[Shelf], None], two: Shelf, served: Models, caplog: pytest.LogCaptureFixture
):
    goes(two)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            served.refresh()
    assert version_of(served) == 2
    [line] = [message for message in caplog.messages if "version 2 stays" in message]
    assert "not in the registry" in line
    with pytest.raises(ModelError, match="not in the registry"):
        load_registered(two.client, alias_uri(two.category, "champion"), ANYBODY)


def test_a_new_champion_is_served_after_the_old_one_was_deleted(two: Shelf, served: Models):
    no_version(two)
    served.refresh()
    set_alias(two.client, two.name, "champion", 1)
    served.refresh()
    assert version_of(served) == 1


@pytest.mark.parametrize("moves", ["serve", "load"])
def test_an_alias_that_moves_meanwhile_mixes_no_two_versions(
    moves: str, two: Shelf, monkeypatch: pytest.MonkeyPatch
):
    """It moves between the look at the alias and the fetching of the files."""
    usual = registry.fetch_model

    def fetch(*given: Any) -> Path:
        set_alias(two.client, two.name, "champion", 1)
        return usual(*given)

    monkeypatch.setattr(registry, "fetch_model", fetch)
    if moves == "load":
        found = load_registered(two.client, alias_uri(two.category, "champion"), ANYBODY)
    else:
        [found] = Models([Champion(two.client.tracking_uri, two.category, ANYBODY)]).all()
    assert found.version == 2
    assert found.digest == two.tags(2)["gtrans.detector_digest"]


def test_a_version_that_is_deleted_while_it_is_fetched_is_one_line(
    two: Shelf, monkeypatch: pytest.MonkeyPatch
):
    usual = registry.fetch_model

    def fetch(*given: Any) -> Path:
        no_version(two)
        return usual(*given)

    monkeypatch.setattr(registry, "fetch_model", fetch)
    with pytest.raises(ModelError, match=r"/2: not in the registry; .* has the versions 1 and"):
        load_registered(two.client, alias_uri(two.category, "champion"), ANYBODY)


def test_files_that_are_deleted_while_they_are_fetched_are_one_line(
    two: Shelf, served: Models, caplog: pytest.LogCaptureFixture
):
    """The version is there; its folder is not."""
    set_alias(two.client, two.name, "champion", 1)
    for path in two.stored(1).iterdir():
        path.unlink()
    with caplog.at_level(logging.WARNING):
        served.refresh()
    assert version_of(served) == 2
    [line] = [message for message in caplog.messages if "version 2 stays" in message]
    assert "version 1: its folder holds no file; was it deleted?" in line

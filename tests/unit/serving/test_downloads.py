"""A champion that does not come whole is fetched again later and later, and told of once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gtrans.serving import downloads, models
from gtrans.serving.models import Champion, Models
from gtrans_core.errors import ModelError, StorageError, TrackingError
from gtrans_core.tracking.registry.loading import LoadedDetector
from gtrans_core.trust.policy import TrustPolicy


class Registry:
    """Which version is champion, and what becomes of fetching it."""

    def __init__(self) -> None:
        self.version, self.fault = 1, None
        self.fetched: list[int] = []
        self.places: list[Path] = []


@pytest.fixture
def registry(detector, monkeypatch: pytest.MonkeyPatch) -> Registry:
    state = Registry()

    def found(*_: Any) -> Any:
        return SimpleNamespace(version=state.version, uri=f"models:/v/{state.version}", digest="d")

    def load(_client: Any, uri: str, _trust: Any, place: Path) -> LoadedDetector:
        number = int(uri.rpartition("/")[2])
        state.fetched.append(number)
        state.places.append(place)
        if state.fault:
            (place / "half").touch()
            raise state.fault
        return LoadedDetector(detector, number, "d")

    monkeypatch.setattr(models, "version_now", found)
    monkeypatch.setattr(models, "require_approved", lambda *_: 0)
    monkeypatch.setattr(models, "load_registered", load)
    monkeypatch.setattr(models, "connect_existing", lambda _: None)
    return state


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(downloads.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def served(registry: Registry) -> Models:
    return Models([Champion("http://mlflow", "bottle", TrustPolicy())])


@pytest.mark.parametrize("fault", [TrackingError("broke off"), StorageError("broke off")])
def test_a_download_that_broke_off_is_tried_later_and_later(
    served: Models, registry: Registry, clock: list[float], fault: Exception, caplog
):
    registry.version, registry.fault = 2, fault
    for _ in range(2 * 3600):  # a poll a second
        served.refresh()
        clock[0] += 1
    assert registry.fetched == [1] + [2] * 7  # after 1, 3, 7, 15, 31 and 63 minutes
    assert len([line for line in caplog.messages if "stays: broke off" in line]) <= 7
    assert len(set(registry.places[1:])) == 1  # it goes on from what came
    assert (registry.places[1] / "half").exists()
    registry.fault = None
    clock[0] += 3600
    served.refresh()
    assert served.all()[0].version == 2
    assert not registry.places[1].exists()


def test_another_champion_does_not_wait(served: Models, registry: Registry, clock: list[float]):
    registry.version, registry.fault = 2, TrackingError("broke off")
    served.refresh()
    registry.version, registry.fault = 3, None
    served.refresh()
    assert served.all()[0].version == 3


def test_one_that_is_refused_is_not_fetched_again(
    served: Models, registry: Registry, clock: list[float]
):
    registry.version, registry.fault = 2, ModelError("was changed")
    for _ in range(5):
        served.refresh()
        clock[0] += 7200
    assert registry.fetched == [1, 2]
    assert not registry.places[1].exists()


def test_a_registry_that_is_down_is_told_of_once(
    served: Models, registry: Registry, monkeypatch: pytest.MonkeyPatch, caplog
):
    answers: Callable = models.version_now

    def down(*_: Any) -> Any:
        raise TrackingError("nobody listens there")

    for number in (1, 2):
        monkeypatch.setattr(models, "version_now", down)
        for _ in range(20):
            served.refresh()
        assert len([m for m in caplog.messages if "nobody listens there" in m]) == number
        monkeypatch.setattr(models, "version_now", answers)
        served.refresh()

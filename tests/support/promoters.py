"""Promoters that run call by call, against a registry in memory that keeps MLflow's rules.

An alias and a tag are blind overwrites, a version's number is handed out once. Version 1 is the
champion at first; 2 (0.97) and 3 (0.93) want to be.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, RESOURCE_DOES_NOT_EXIST

from gtrans_core.errors import GateError, SupersededError
from gtrans_core.evaluation.gate import Gate
from gtrans_core.tracking.promotion import championship
from gtrans_core.tracking.promotion.ledger import LEDGER_PREFIX
from gtrans_core.tracking.promotion.promotion import (
    PromotionResult,
    promote,
    read_history,
    rollback,
)

GATE = Gate(
    floors={"image_auroc": 0.9},
    minimum_gain={"image_auroc": 0.0},
    maximum_loss_per_defect={},
    minimum_test_images=20,
    same_data_as_champion=True,
    as_many_test_images_as_champion=True,
)
MODEL = "gtrans-bottle"
OLD, BETTER, WORSE = 1, 2, 3
SCORES = {OLD: 0.91, BETTER: 0.97, WORSE: 0.93}
CALLS = 30
"""More calls than one promotion makes; a test holds it."""


@dataclass
class Model:
    """A registered model as MLflow's tables hold it."""

    versions: dict[int, dict[str, str]] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    aliases: dict[str, str] = field(default_factory=dict)


class Registry:
    """As much of MlflowClient as promotion uses, each call whole and at once."""

    tracking_uri = "http://in-memory"

    def __init__(self) -> None:
        self.models: dict[str, Model] = {}
        self.champions: list[int] = []
        """What the alias pointed to, one after the other."""

    def create_registered_model(self, name: str, description: str = "") -> None:
        if name in self.models:
            raise MlflowException("there already", RESOURCE_ALREADY_EXISTS)
        self.models[name] = Model()

    def get_registered_model(self, name: str) -> Any:
        return SimpleNamespace(name=name, aliases=dict(self._model(name).aliases))

    def create_model_version(
        self, name: str, source: str, tags: dict[str, str], description: str = ""
    ) -> None:
        versions = self._model(name).versions
        versions[len(versions) + 1] = dict(tags)

    def delete_model_version(self, name: str, version: str) -> None:
        self.get_model_version(name, version)
        self._model(name).deleted.add(int(version))

    def get_model_version(self, name: str, version: str) -> Any:
        model = self._model(name)
        if int(version) not in model.versions.keys() - model.deleted:
            raise MlflowException("no such version", RESOURCE_DOES_NOT_EXIST)
        tags = dict(model.versions[int(version)])
        return SimpleNamespace(version=version, tags=tags, description="")

    def search_model_versions(self, filter_string: str) -> list[Any]:
        name = filter_string.split("'")[1]
        model = self.models.get(name, Model())
        numbers = model.versions.keys() - model.deleted
        return [self.get_model_version(name, str(number)) for number in numbers]

    def set_model_version_tag(self, name: str, version: str, key: str, value: str) -> None:
        self.get_model_version(name, version)
        self._model(name).versions[int(version)][key] = value

    def set_registered_model_alias(self, name: str, alias: str, version: str) -> None:
        self.get_model_version(name, version)
        self._model(name).aliases[alias] = version
        if alias == "champion":
            self.champions.append(int(version))

    def delete_registered_model_alias(self, name: str, alias: str) -> None:
        self._model(name).aliases.pop(alias, None)

    def _model(self, name: str) -> Model:
        if name not in self.models:
            raise MlflowException("no such model", RESOURCE_DOES_NOT_EXIST)
        return self.models[name]


class Killed(BaseException):
    """The process is gone: nothing catches it."""


class Worker:
    """A process that makes one call to the registry whenever it is told to."""

    def __init__(self, registry: Registry, work: Callable[[Any], PromotionResult]) -> None:
        self._registry, self._work = registry, work
        self._go, self._waiting = threading.Semaphore(0), threading.Semaphore(0)
        self._dies = False
        self.calls = 0
        self.ended = False
        self.result: PromotionResult | BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._waiting.acquire()

    def step(self, calls: int = 1) -> None:
        """Let it make so many calls, or fewer if it ends."""
        for _ in range(calls):
            if not self.ended:
                self._go.release()
                self._waiting.acquire()

    def finish(self) -> None:
        while not self.ended:
            self.step()

    def kill(self) -> None:
        """It dies before its next call."""
        self._dies = True
        self.finish()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._registry, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self._waiting.release()
            self._go.acquire()
            if self._dies:
                raise Killed
            self.calls += 1
            return found(*arguments, **options)

        return call

    def _run(self) -> None:
        try:
            self.result = self._work(self)
        except BaseException as error:  # noqa: BLE001  (a thread's end is what is looked at)
            self.result = error
        self.ended = True
        self._waiting.release()


@pytest.fixture(autouse=True)
def nothing_to_download() -> Iterator[None]:
    """Import it where promoters run: there are no files of these models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(championship, "fetch_model", lambda client, uri, folder, trust: folder)
        patch.setattr(championship, "detector_digest", lambda folder: "d" * 64)
        patch.setenv("MLFLOW_TRACKING_USERNAME", "somebody")
        yield


def new_registry(champion: int | None = OLD) -> Registry:
    registry = Registry()
    fill(registry)
    if champion:
        promote(registry, "bottle", GATE, champion)
    registry.set_registered_model_alias(MODEL, "challenger", str(WORSE))
    return registry


def fill(client: Any) -> None:
    client.create_registered_model(MODEL)
    for score in SCORES.values():
        tags = {
            "gtrans.metric.image_auroc": str(score),
            "gtrans.test_images": "80",
            "gtrans.data_digest": "d" * 64,
        }
        client.create_model_version(MODEL, "file:///nowhere", tags=tags)


def promoter(registry: Registry, version: int) -> Worker:
    return Worker(registry, lambda client: promote(client, "bottle", GATE, version))


def roller(registry: Registry) -> Worker:
    return Worker(registry, lambda client: rollback(client, "bottle"))


def registrar(registry: Registry) -> Worker:
    """Registers a version and makes it the challenger, as ``registry.register`` does."""

    def work(client: Any) -> Any:
        client.create_model_version(MODEL, "file:///nowhere", tags={})
        number = max(int(one.version) for one in client.search_model_versions(f"name = '{MODEL}'"))
        client.set_registered_model_alias(MODEL, "challenger", str(number))

    return Worker(registry, work)


def moves(registry: Any) -> list[tuple[str, int | None, int]]:
    found = read_history(registry, "bottle").moves
    return [(m.move.kind, m.move.previous, m.move.champion) for m in found]


def check_the_better_won(registry: Registry, tidy: bool = True) -> None:
    made = moves(registry)
    assert registry.models[MODEL].aliases["champion"] == str(BETTER)
    assert made[-1][2] == BETTER
    assert made == [
        ("promote", None, OLD),
        *([("promote", OLD, WORSE)] if len(made) == 3 else []),
        ("promote", made[-2][2], BETTER),
    ]
    assert all(recorded.settled for recorded in read_history(registry, "bottle").moves[-1:])
    if tidy:  # the dead do not withdraw a move that came too late
        ledger = registry.models[LEDGER_PREFIX + "bottle"]
        assert len(ledger.versions.keys() - ledger.deleted) == len(made)


def check_the_worse_knows(worse: Worker, registry: Registry) -> None:
    """It was told no, told that it was overtaken, or was champion before the better one came."""
    if isinstance(worse.result, PromotionResult):
        assert ("promote", WORSE, BETTER) in moves(registry)
    else:
        assert isinstance(worse.result, SupersededError | GateError), worse.result
        if isinstance(worse.result, SupersededError):
            assert "superseded" in str(worse.result)
            assert "version 2" in str(worse.result)

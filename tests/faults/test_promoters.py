"""The registry that promoters race on, held against MLflow itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gtrans_core.errors import GateError
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.promotion.promotion import promote, rollback
from tests.support.promoters import (  # noqa: F401  (a fixture among them)
    BETTER,
    GATE,
    MODEL,
    OLD,
    WORSE,
    Registry,
    fill,
    moves,
    nothing_to_download,
)


class Recorder:
    """Notes the calls that are made to a registry."""

    def __init__(self, registry: Any) -> None:
        self._registry = registry
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._registry, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            self.calls.append(name)
            return found(*arguments, **options)

        return call


def test_the_registry_in_memory_behaves_as_mlflow(tmp_path: Path):
    """The same story on both: the same calls, moves, aliases."""
    real = connect(f"sqlite:///{tmp_path}/mlflow.db")
    stories = []
    for client in (Registry(), real):
        fill(client)
        recorder = Recorder(client)
        promote(recorder, "bottle", GATE, OLD)
        promote(recorder, "bottle", GATE, WORSE)
        with pytest.raises(GateError):
            promote(recorder, "bottle", GATE, OLD)
        promote(recorder, "bottle", GATE, BETTER)
        rollback(recorder, "bottle")
        client.delete_model_version(MODEL, str(BETTER))
        rollback(recorder, "bottle")
        aliases = {a: int(v) for a, v in client.get_registered_model(MODEL).aliases.items()}
        stories.append((recorder.calls, moves(client), aliases))
    assert stories[0] == stories[1]

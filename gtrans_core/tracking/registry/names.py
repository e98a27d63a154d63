"""What is registered, by name: fast enough to be asked while a command is typed.

An embedded registry is read without MLflow, whose import takes seconds.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass

from gtrans_core.detector.model_name import MODEL_PREFIX, category_of_model
from gtrans_core.tracking.address import SQLITE_SCHEME
from gtrans_core.tracking.client import connect, database_path, has_record, translate_mlflow_errors

_PATIENCE_S = "2"


@dataclass(frozen=True)
class RegisteredCategory:
    """A category with a registered model, and the aliases of that."""

    category: str
    aliases: tuple[str, ...]


def registered_categories(uri: str) -> list[RegisteredCategory]:
    """All categories of a registry, by name.

    Raises:
        TrackingError: when MLflow does not answer soon, or the database is not one of MLflow's.
    """
    if not has_record(uri):
        return []
    with translate_mlflow_errors(uri, "list the models"):
        found = _in_database(uri) if uri.startswith(SQLITE_SCHEME) else _on_server(uri)
    return [
        RegisteredCategory(category_of_model(name), tuple(sorted(aliases)))
        for name, aliases in sorted(found.items())
        if name.startswith(MODEL_PREFIX)
    ]


def _in_database(uri: str) -> dict[str, list[str]]:
    path = database_path(uri)
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1)) as database:
        found: dict[str, list[str]] = {
            name: [] for (name,) in database.execute("SELECT name FROM registered_models")
        }
        for name, alias in database.execute("SELECT name, alias FROM registered_model_aliases"):
            found.setdefault(name, []).append(alias)
    return found


def _on_server(uri: str) -> dict[str, list[str]]:
    os.environ |= {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": _PATIENCE_S,
    }
    models = connect(uri).search_registered_models(max_results=1000)
    return {model.name: list(model.aliases) for model in models}

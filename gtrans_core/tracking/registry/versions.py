"""Which version of a model a name stands for, asked once: an alias may move meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gtrans_core.errors import ModelError
from gtrans_core.tracking.registry.registry import (
    CHALLENGER,
    CHAMPION,
    MODEL_PREFIX,
    RegisteredVersion,
    find_version,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient


def version_now(client: MlflowClient, uri: str) -> RegisteredVersion:
    """The version that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` is now.

    Raises:
        ModelError: for a URI that names no version (with what there is).
        TrackingError: when MLflow cannot be reached.
    """
    found = find_version(client, uri)
    return RegisteredVersion(found.name, int(found.version), created=False)


def version_in_use(client: MlflowClient, category: str) -> RegisteredVersion:
    """The category's champion; its challenger where there was no promotion yet.

    Raises:
        ModelError: when the category has neither.
        TrackingError: when MLflow cannot be reached.
    """
    name = f"models:/{MODEL_PREFIX}{category}"
    try:
        return version_now(client, f"{name}@{CHAMPION}")
    except ModelError:
        return version_now(client, f"{name}@{CHALLENGER}")

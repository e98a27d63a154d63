"""Which version of a model a name stands for now; an alias may move at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import CHALLENGER, CHAMPION, MODEL_PREFIX, alias_uri
from gtrans_core.errors import ModelError
from gtrans_core.tracking.client import error_code, translate_mlflow_errors
from gtrans_core.tracking.registry.model import DETECTOR_TAG

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion


@dataclass(frozen=True)
class ModelVersion:
    """A registered version.

    Attributes:
        name: ``gtrans-CATEGORY``.
        version: its number, counted from 1.
        digest: sha256 (hex) of its ``detector.json``; empty where the version has no such tag.
        source: URI of the MLflow model's folder.
    """

    name: str
    version: int
    digest: str
    source: str

    @property
    def uri(self) -> str:
        """``models:/NAME/VERSION``: unlike an alias, it never moves."""
        return f"models:/{self.name}/{self.version}"


def version_now(client: MlflowClient, uri: str) -> ModelVersion:
    """Look a version up, without fetching its files.

    Args:
        client: the registry.
        uri: ``models:/gtrans-NAME@ALIAS`` or ``models:/gtrans-NAME/VERSION``.

    Raises:
        ModelError: for a URI that names no version (with what there is).
        TrackingError: when MLflow cannot be reached.
    """
    found = find_version(client, uri)
    with translate_mlflow_errors(client.tracking_uri, f"find the files of {uri}"):
        source = client.get_model_version_download_uri(found.name, found.version)
    return ModelVersion(found.name, int(found.version), found.tags.get(DETECTOR_TAG, ""), source)


def version_in_use(client: MlflowClient, category: str) -> ModelVersion:
    """The category's champion; its challenger where there was no promotion yet.

    Raises:
        ModelError: when the category has neither.
        TrackingError: when MLflow cannot be reached.
    """
    try:
        return version_now(client, alias_uri(category, CHAMPION))
    except ModelError:
        return version_now(client, alias_uri(category, CHALLENGER))


def find_version(client: MlflowClient, uri: str) -> MlflowVersion:
    """The version that ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION`` stands for.

    Raises:
        ModelError: where there is none, with what there is.
        TrackingError: when MLflow cannot be reached.
    """
    from mlflow.exceptions import MlflowException

    name, version, alias = _parse(uri)
    with translate_mlflow_errors(client.tracking_uri, f"find {uri}"):
        try:
            if alias:
                found = client.get_model_version_by_alias(name, alias)
            else:
                found = client.get_model_version(name, version)
            if found.name != name or int(found.version) < 1:
                raise ValueError("a version of another model")
            return found
        except MlflowException as error:
            if error_code(error) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
        raise ModelError(f"{uri}: not in the registry; {_what_there_is(client, name)}")


def _parse(uri: str) -> tuple[str, str, str]:
    """Name, version, alias; one of the last two is empty."""
    path = uri.removeprefix("models:/")
    name, _, alias = path.partition("@")
    name, _, version = name.partition("/")
    if path == uri or not name or bool(version) == bool(alias) or not (alias or version.isdigit()):
        raise ModelError(f"{uri}: expected models:/NAME@ALIAS or models:/NAME/VERSION")
    return name, version, alias


def _what_there_is(client: MlflowClient, name: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error_code(error) != "RESOURCE_DOES_NOT_EXIST":
            raise
        names = sorted(model.name for model in client.search_registered_models())
        models = [name for name in names if name.startswith(MODEL_PREFIX)]
        return f"there is {', '.join(models) or 'no model yet'}"
    versions = [int(found.version) for found in client.search_model_versions(f"name = '{name}'")]
    aliases = [f"@{alias} (version {number})" for alias, number in sorted(model.aliases.items())]
    numbers = [str(number) for number in sorted(versions)]
    return (
        f"{name} has the versions {', '.join(numbers) or 'none'} "
        f"and the aliases {', '.join(aliases) or 'none'}"
    )

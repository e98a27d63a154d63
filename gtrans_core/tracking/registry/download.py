"""A version's files from where the registry keeps them: from there only, and not without end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gtrans_core.errors import ModelError
from gtrans_core.storage import require_free_space, without_secrets
from gtrans_core.tracking.client import translate_mlflow_errors

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

MODEL_ID = re.compile(r"m-[0-9a-f]{32}")
MOST_BYTES = 4 * 2**30
"""Of a whole model; ours have tens of megabytes."""
MOST_FILES = 5_000
_SMALL = 2**24
"""Bytes of a single file that is read by itself."""


def download_model(client: MlflowClient, version: MlflowVersion, scratch: Path) -> Path:
    """The whole MLflow model of a version, unverified, in a folder below ``scratch``.

    Raises:
        ModelError: before anything is fetched, for a version whose files lie elsewhere than those
            that gtrans registers, or are too many or too large.
        StorageError: when there is no room for them.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    with _telling(client, version):
        repository = _repository(client, version)
        size = _moderate_size(repository, _name(version))
        require_free_space(scratch, size, _name(version))
        target = scratch / "model"
        target.mkdir()
        return Path(repository.download_artifacts("", str(target)))


def download_file(
    client: MlflowClient, version: MlflowVersion, name: str, scratch: Path
) -> bytes | None:
    """One small file of a version's model folder, unverified; None where there is none.

    Raises:
        ModelError: as ``download_model``.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    with _telling(client, version):
        repository = _repository(client, version)
        sizes = {file.path: file.file_size or 0 for file in repository.list_artifacts("")}
        if name not in sizes:
            return None
        if sizes[name] > _SMALL:
            raise ModelError(f"{_name(version)}: file {name} has more than {_SMALL:,} bytes")
        return Path(repository.download_artifacts(name, str(scratch))).read_bytes()


def own_location(client: MlflowClient, version: MlflowVersion) -> str:
    """The address of a version's files, if it is where gtrans registers a model of its experiment.

    Raises:
        ModelError: for any other address, such as one that somebody wrote into the registry.
    """
    source = client.get_model_version_download_uri(version.name, version.version)
    if not version.run_id:
        raise ModelError(f"{_name(version)}: no MLflow run made it; register it with gtrans")
    experiment = client.get_run(version.run_id).info.experiment_id
    root = str(client.get_experiment(experiment).artifact_location).rstrip("/")
    found = re.fullmatch(rf"{re.escape(root)}/models/{MODEL_ID.pattern}/artifacts/?", source)
    if found is None:
        raise ModelError(
            f"{_name(version)}: its files are said to be in {without_secrets(source)}: expected "
            f"{without_secrets(root)}/models/m-.../artifacts, where gtrans registers; refused"
        )
    return source


def _repository(client: MlflowClient, version: MlflowVersion) -> Any:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    uri = client.tracking_uri
    return get_artifact_repository(
        own_location(client, version), tracking_uri=uri, registry_uri=uri
    )


def _moderate_size(repository: Any, name: str) -> int:
    """Bytes of all files, none of which has been fetched.

    Raises:
        ModelError: when they are too many or too large, or one lies outside.
    """
    size = 0
    for count, (path, its_size) in enumerate(_files(repository, ""), start=1):
        size += its_size
        if ".." in PurePosixPath(path).parts or path.startswith("/"):
            raise ModelError(f"{name}: file {path} lies outside of the model; refused")
        if count > MOST_FILES or size > MOST_BYTES:
            raise ModelError(
                f"{name}: more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes, "
                "so it is not a detector"
            )
    return size


def _files(repository: Any, folder: str) -> Iterator[tuple[str, int]]:
    for found in repository.list_artifacts(folder):
        yield found.path, found.file_size or 0
        if found.is_dir:
            yield from _files(repository, found.path)


def _telling(client: MlflowClient, version: MlflowVersion) -> Any:
    return translate_mlflow_errors(client.tracking_uri, f"download {_name(version)}")


def _name(version: MlflowVersion) -> str:
    return f"{version.name} version {version.version}"

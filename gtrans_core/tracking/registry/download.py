"""A version's files from where the registry keeps them: from there only, and not without end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from gtrans_core.errors import ModelError, TrackingError
from gtrans_core.storage import require_free_space, sha256_file, without_secrets
from gtrans_core.storage.documents import parse_json
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.registry.model import ARTIFACT_FOLDER
from gtrans_core.tracking.registry.model_files import FILES_TAG
from gtrans_core.tracking.registry.shelves import KeptFile, Shelf, shelf_at

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

    Files of the detector that an earlier call brought there whole are not fetched again.

    Raises:
        ModelError: before anything is fetched, for a version whose files lie elsewhere than those
            that gtrans registers, are too many or too large, or are gone.
        StorageError: when there is no room for them.
        TrackingError: when MLflow refuses or cannot be reached, or a file does not come whole.
    """
    with _telling(client, version):
        shelf = _shelf(client, version)
        listed = moderate(shelf.files(), _name(version))
        if all(file.is_folder for file in listed):
            raise ModelError(f"{_name(version)}: its folder holds no file; was it deleted?")
        target = scratch / "model"
        target.mkdir(exist_ok=True)
        here = _those_whole(target, version)
        missing = [file for file in listed if file.name not in here]
        require_free_space(scratch, sum(file.size or 0 for file in missing), _name(version))
        for file in missing:
            bring(shelf, file, target / file.name, _name(version))
        return target


def download_file(
    client: MlflowClient, version: MlflowVersion, name: str, scratch: Path
) -> bytes | None:
    """One small file of a version's model folder, unverified; None where there is none.

    Raises:
        ModelError: as ``download_model``.
        TrackingError: when MLflow refuses or cannot be reached, or the file does not come whole.
    """
    with _telling(client, version):
        shelf = _shelf(client, version)
        [*found] = (file for file in shelf.files(deep=False) if file.name == name)
        if not found:
            return None
        if (found[0].size or 0) > _SMALL:
            raise ModelError(f"{_name(version)}: file {name} has more than {_SMALL:,} bytes")
        bring(shelf, found[0], scratch / name, _name(version), _SMALL)
        return (scratch / name).read_bytes()


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


def moderate(files: Iterable[KeptFile], name: str, what: str = "a detector") -> list[KeptFile]:
    """All files of what should be ``what``; none of them has been fetched.

    Raises:
        ModelError: when they are too many or too large, or one lies outside.
    """
    found: list[KeptFile] = []
    size = 0
    for file in files:
        found.append(file)
        size += file.size or 0
        if ".." in PurePosixPath(file.name).parts or file.name.startswith("/"):
            raise ModelError(f"{name}: file {file.name} lies outside of the folder; refused")
        if len(found) > MOST_FILES or size > MOST_BYTES:
            raise ModelError(
                f"{name}: more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes, "
                f"so it is not {what}"
            )
    return found


def _shelf(client: MlflowClient, version: MlflowVersion) -> Shelf:
    return shelf_at(own_location(client, version), client.tracking_uri)


def _those_whole(target: Path, version: MlflowVersion) -> set[str]:
    """The detector's files that are there as they were registered; all else there is removed."""
    try:
        digests = dict(parse_json(version.tags[FILES_TAG]))
    except (KeyError, ValueError, TypeError):
        digests = {}
    whole = set()
    for path in sorted(target.rglob("*")):
        name = path.relative_to(target).as_posix()
        if path.is_dir():
            continue
        if digests.get(name.removeprefix(f"{ARTIFACT_FOLDER}/")) == sha256_file(path):
            whole.add(name)
        else:
            path.unlink()
    return whole


def bring(shelf: Shelf, file: KeptFile, place: Path, name: str, most: int = MOST_BYTES) -> None:
    """Fetch a file, or make a folder.

    Raises:
        TrackingError: when it has not the size of the listing.
    """
    if file.is_folder:
        place.mkdir(parents=True, exist_ok=True)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    shelf.fetch(file, place, most if file.size is None else file.size)
    came = place.stat().st_size
    if file.size is not None and came != file.size:
        raise TrackingError(
            f"{name}: file {file.name} did not come whole, {came:,} of {file.size:,} bytes; try "
            "again",
            passing=True,
        )


def _telling(client: MlflowClient, version: MlflowVersion) -> Any:
    return translate_mlflow_errors(client.tracking_uri, f"download {_name(version)}")


def _name(version: MlflowVersion) -> str:
    return f"{version.name} version {version.version}"

"""The model registry: versions by content, fetched with digests and signature checked."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import CHALLENGER, category_of_model, model_name, version_uri
from gtrans_core.errors import ModelError, StorageError, TrackingError
from gtrans_core.tracking.client import (
    error_code,
    set_alias,
    set_version_tag,
    translate_mlflow_errors,
)
from gtrans_core.tracking.registry.download import download_model
from gtrans_core.tracking.registry.model import (
    ARTIFACT_FOLDER,
    DETECTOR_TAG,
    category_of,
    file_digests,
    versions_of,
)
from gtrans_core.tracking.registry.model_files import FILES_TAG, tidy, verify_model
from gtrans_core.tracking.registry.versions import ModelVersion, find_version, version_now
from gtrans_core.tracking.runs import CATEGORY_TAG, prefixed
from gtrans_core.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion

_UNFINISHED = "unfinished"
"""Folder of a download, beside what it becomes."""
_VALUE_LENGTH = 100_000
"""What MLflow takes as a tag of a version; of a run it takes less."""


def register(
    client: MlflowClient,
    run_id: str,
    model_uri: str,
    category: str,
    detector_folder: Path,
    tags: Mapping[str, str],
    description: str = "",
) -> tuple[ModelVersion, bool]:
    """Make a logged model a version of ``gtrans-CATEGORY`` and the category's challenger.

    The same detector never makes a second version: the existing one is returned, with the tags that
    it lacks.

    Args:
        client: the registry.
        run_id: the run that made the model.
        model_uri: what ``log_model`` returned.
        category: the category.
        detector_folder: the folder that was logged: its digests go into the version's tags.
        tags: further facts: data digest, the evidence that the gate looks at.
        description: of a new version, as its page in MLflow shows it.

    Returns:
        The version, and whether this call made it: false where the same detector was registered
        before.

    Raises:
        ModelError: for a folder that is no detector, or one of another category.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    from gtrans_core.detector.files import detector_digest

    name = model_name(category)
    files = file_digests(detector_folder)
    if category_of(detector_folder) != category:
        raise ModelError(f"{detector_folder}: not a detector of {category}")
    digest = detector_digest(detector_folder)
    all_tags = {
        **prefixed(tags, _VALUE_LENGTH),
        CATEGORY_TAG: category,
        DETECTOR_TAG: digest,
        FILES_TAG: json.dumps(files),
    }
    with translate_mlflow_errors(client.tracking_uri, f"register {name}"):
        ensure_model(
            client,
            name,
            f"Detectors of {category}, made by GTrans. The alias champion is the version that the "
            "line uses, challenger the newest one that wants to be.",
        )
        version = _version_of(client, name, digest)
        created = version is None
        if version is None:
            made = _NewVersion(run_id, model_uri, all_tags, description)
            version, created = _create_version(client, name, made)
        else:
            _add_missing_tags(client, name, version, all_tags)
        set_alias(client, name, CHALLENGER, version)
    return version_now(client, version_uri(category, version)), created


def fetch_model(
    client: MlflowClient, uri: str, destination: Path, trust: TrustPolicy | None = None
) -> Path:
    """Download a registered detector, if its files are those registered, and signed.

    Args:
        client: the registry.
        uri: ``models:/gtrans-NAME@ALIAS`` or ``models:/gtrans-NAME/VERSION``.
        destination: a folder; ``destination/detector`` is written, or replaced. What came before
            a download broke off stays there, for the next call.
        trust: whose models are loaded; by default what the environment says; without it, nobody's.

    Returns:
        The detector folder. What fails a check is not left there.

    Raises:
        ModelError: for a URI that names no version (with what there is), and for a file that is
            missing, extra, changed, or of another category (with its name).
        ConfigError: when signatures are asked for and there is no public key to check them.
        TrackingError: when MLflow cannot be reached.
    """
    trust = trust or TrustPolicy.from_environment()
    version = find_version(client, uri)
    target = destination / "detector"
    destination.mkdir(parents=True, exist_ok=True)
    unfinished = destination / _UNFINISHED
    unfinished.mkdir(mode=0o700, exist_ok=True)
    try:
        model = download_model(client, version, unfinished)
        verify_downloaded(uri, model, version, trust)
        shutil.rmtree(target, ignore_errors=True)
        (model / ARTIFACT_FOLDER).replace(target)
    except (StorageError, TrackingError):
        raise
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    shutil.rmtree(unfinished, ignore_errors=True)
    return target


def verify_downloaded(uri: str, model: Path, version: MlflowVersion, trust: TrustPolicy) -> None:
    """Refuse a version's downloaded model unless it is signed, the one registered, and one of ours.

    The signature comes first: nothing in an unverified folder is parsed but the signature itself.

    Raises:
        ModelError: naming the file.
        ConfigError: when signatures are asked for and there is no public key to check them.
    """
    tidy(model)
    trust.verify(model, uri)
    verify_model(uri, model, version.tags, category_of_model(version.name))


def ensure_model(client: MlflowClient, name: str, description: str) -> None:
    """Make a registered model, described so, unless it is there."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error_code(error) != "RESOURCE_ALREADY_EXISTS":
            raise


@dataclass(frozen=True)
class _NewVersion:
    run_id: str
    model_uri: str
    tags: dict[str, str]
    description: str


def _create_version(client: MlflowClient, name: str, new: _NewVersion) -> tuple[int, bool]:
    """Create a version, and withdraw it where somebody registered the same detector before."""
    model = client.get_logged_model(new.model_uri.removeprefix("models:/"))
    made = client.create_model_version(
        name=name,
        # Not the models:/ URI: the client would look that up at MLflow's global address.
        source=model.artifact_location,
        run_id=new.run_id,
        tags=new.tags,
        model_id=model.model_id,
        description=new.description or None,
    )
    first = _version_of(client, name, new.tags[DETECTOR_TAG])
    if first is not None and first < int(made.version):
        client.delete_model_version(name, made.version)
        return first, False
    return int(made.version), True


def _add_missing_tags(client: MlflowClient, name: str, version: int, tags: dict[str, str]) -> None:
    """Add tags that earlier gtrans did not write on a version; tags that are there stay."""
    present = client.get_model_version(name, str(version)).tags
    for tag in tags.keys() - present.keys():
        set_version_tag(client, name, version, tag, tags[tag])


def _version_of(client: MlflowClient, name: str, digest: str) -> int | None:
    """The first version of a detector; two registrations at once agree on it."""
    found = versions_of(client, name, digest)
    return min((int(version.version) for version in found), default=None)

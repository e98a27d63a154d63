"""What an alias stands for at this moment: version, digest, and where its files are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gtrans_core.tracking.client import reported
from gtrans_core.tracking.registry.model import DETECTOR_TAG
from gtrans_core.tracking.registry.registry import find_version

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class ResolvedModel:
    """A registered version.

    Attributes:
        name: ``gtrans-CATEGORY``.
        version: counted from 1.
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


def resolve_model(client: MlflowClient, uri: str) -> ResolvedModel:
    """Look a model up, without fetching it.

    Args:
        client: the registry.
        uri: ``models:/gtrans-NAME@ALIAS`` or ``models:/gtrans-NAME/VERSION``.

    Raises:
        ModelError: for a URI that names no version (with what there is).
        TrackingError: when MLflow cannot be reached.
    """
    version = find_version(client, uri)
    with reported(client.tracking_uri, f"find the files of {uri}"):
        source = client.get_model_version_download_uri(version.name, version.version)
    digest = version.tags.get(DETECTOR_TAG, "")
    return ResolvedModel(version.name, int(version.version), digest, source)

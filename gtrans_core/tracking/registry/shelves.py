"""Where a registry keeps the files of a model: they are listed, and fetched one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from gtrans_core.storage.store import Entry
from gtrans_core.tracking.bounded_answers import files_of_at_most

_DEEPEST = 16
"""Folders within folders; below, a server may go on without end."""


@dataclass(frozen=True)
class KeptFile:
    """A file or an empty folder.

    Attributes:
        name: relative to the model's folder, with forward slashes.
        size: bytes; None where the server does not say.
        is_folder: whether it is none.
        etag: tells whether it has changed; empty where there is none.
    """

    name: str
    size: int | None
    is_folder: bool = False
    etag: str = ""


class Shelf(Protocol):
    """A model's folder."""

    def files(self, *, deep: bool = True) -> Iterator[KeptFile]:
        """Its files, with those of folders within it if ``deep``."""

    def fetch(self, file: KeptFile, place: Path, most: int) -> None:
        """Copy a file, of at most so many bytes, to a local path."""


def shelf_at(location: str, tracking_uri: str) -> Shelf:
    """The folder at an address that MLflow knows."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
    from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

    repository = get_artifact_repository(
        location, tracking_uri=tracking_uri, registry_uri=tracking_uri
    )
    if isinstance(repository, S3ArtifactRepository):
        client: Any = repository._get_s3_client()  # type: ignore[no-untyped-call]
        return _Bucket(location, client)
    return _Repository(repository)


class _Repository:
    """Of any kind that MLflow has."""

    def __init__(self, repository: Any) -> None:
        self._repository = repository

    def files(self, *, deep: bool = True) -> Iterator[KeptFile]:
        yield from self._below("", _DEEPEST if deep else 0)

    def fetch(self, file: KeptFile, place: Path, most: int) -> None:
        with files_of_at_most(most):
            self._repository._download_file(file.name, str(place))

    def _below(self, folder: str, levels: int) -> Iterator[KeptFile]:
        for found in self._repository.list_artifacts(folder):
            yield KeptFile(found.path, found.file_size, bool(found.is_dir))
            if found.is_dir and levels:
                yield from self._below(found.path, levels - 1)


class _Bucket:
    """In S3, with MLflow's client, its credentials and settings; what comes is checked."""

    def __init__(self, location: str, client: Any) -> None:
        # Imported on use: boto3 takes half a second.
        from gtrans_core.storage.s3 import S3Store

        self._store = S3Store(location, client=client)

    def files(self, *, deep: bool = True) -> Iterator[KeptFile]:
        for entry in self._store.list():
            if deep or "/" not in entry.name:
                yield KeptFile(entry.name, entry.size, etag=entry.etag)

    def fetch(self, file: KeptFile, place: Path, most: int) -> None:  # noqa: ARG002
        self._store.download(file.name, place, Entry(file.name, file.size or 0, file.etag))

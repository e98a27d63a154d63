"""Files that a run keeps, fetched one by one within limits: MLflow asks nobody for their sizes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import TrackingError
from gtrans_core.storage import require_free_space
from gtrans_core.tracking.bounded_answers import LARGEST
from gtrans_core.tracking.registry.download import bring, moderate
from gtrans_core.tracking.registry.shelves import KeptFile, Shelf, shelf_at

if TYPE_CHECKING:
    from mlflow import MlflowClient


def fetch_run_file(client: MlflowClient, run_id: str, name: str, scratch: Path) -> Path:
    """A file right below a run's folder of artifacts, copied to ``scratch/NAME``.

    Raises:
        TrackingError: when the run has no such file, it is too large, or does not come whole.
        StorageError: when there is no room for it.
        Exception: what MLflow raises; call it in ``translate_mlflow_errors``.
    """
    found = find_run_file(client, run_id, name, scratch)
    if found is None:
        raise TrackingError(f"run {run_id} has no file {name}; was it deleted?")
    return found


def find_run_file(client: MlflowClient, run_id: str, name: str, scratch: Path) -> Path | None:
    """As ``fetch_run_file``; None where the run has no such file."""
    shelf = _shelf(client, run_id)
    listed = [file for file in shelf.files(deep=False) if file.name == name and not file.is_folder]
    return _fetch(shelf, listed[0], scratch, f"run {run_id}") if listed else None


def fetch_run_folder(client: MlflowClient, run_id: str, folder: str, scratch: Path) -> Path:
    """A folder of a run's artifacts, copied to ``scratch/LAST-PART-OF-ITS-NAME``.

    Raises:
        ModelError: when it holds too many files, or one that lies outside.
        TrackingError, StorageError, Exception: as ``fetch_run_file``.
    """
    name = f"{folder} of run {run_id}"
    shelf = _shelf(client, run_id, folder)
    place = scratch / Path(folder).name
    place.mkdir()
    for file in moderate(shelf.files(), name, "a folder of gtrans's"):
        _fetch(shelf, file, place, name)
    return place


def _shelf(client: MlflowClient, run_id: str, folder: str = "") -> Shelf:
    place = str(client.get_run(run_id).info.artifact_uri).rstrip("/")
    return shelf_at(f"{place}/{folder}".rstrip("/"), client.tracking_uri)


def _fetch(shelf: Shelf, file: KeptFile, scratch: Path, name: str) -> Path:
    if (file.size or 0) > LARGEST:
        raise TrackingError(f"{name}: file {file.name} has more than {LARGEST:,} bytes; refused")
    require_free_space(scratch, file.size or 0, f"{name}: file {file.name}")
    place = scratch / file.name
    bring(shelf, file, place, name, LARGEST)
    return place

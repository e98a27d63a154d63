"""The experiment that runs are filed under, and where its artifacts lie."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from gtrans_core.errors import TrackingError
from gtrans_core.tracking.address import SQLITE_SCHEME
from gtrans_core.tracking.client import (
    TrackingAddress,
    database_path,
    error_code,
    injected_run_id,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE_TAG = "mlflow.note.content"
"""What a page of MLflow shows as its description (Markdown)."""
_EXPERIMENT_TAGS = {
    NOTE_TAG: "Runs of GTrans: one a category, with its metrics, report and figures. Registered "
    "models are under Models. `gtrans compare --category NAME` ranks the runs of a category.",
    "mlflow.experimentKind": "custom_model_development",
}
"""The latter opens the experiment's page with its runs, not with traces of language models."""


def experiment_of(client: MlflowClient, address: TrackingAddress, *, make: bool = True) -> str:
    """The id of this address's experiment; for an injected run, that run's.

    One that is not there is made; with ``make`` off, its id is empty.

    Raises:
        TrackingError: when the experiment was deleted, or its store was moved.
    """
    from mlflow.exceptions import MlflowException

    injected = injected_run_id()
    if injected:
        return str(client.get_run(injected).info.experiment_id)
    found = client.get_experiment_by_name(address.experiment)
    if found is None:
        if not make:
            return ""
        try:
            place = _artifact_location(address)
            return client.create_experiment(address.experiment, place, _EXPERIMENT_TAGS)
        except MlflowException as error:
            if error_code(error) != "RESOURCE_ALREADY_EXISTS":
                raise
        found = client.get_experiment_by_name(address.experiment)
    if found is None or found.lifecycle_stage != "active":
        raise TrackingError(
            deleted_experiment(address.experiment, str(found.experiment_id) if found else "")
        )
    refuse_moved(address, str(found.artifact_location))
    return str(found.experiment_id)


def deleted_experiment(name: str, number: str) -> str:
    """What to say of an experiment that was deleted, and how to go on."""
    restore = f"mlflow experiments restore --experiment-id {number or 'ID'}"
    return f"MLflow experiment {name} was deleted: restore it (`{restore}`) or name another"


def _artifact_location(address: TrackingAddress) -> str | None:
    if not address.server_uri.startswith(SQLITE_SCHEME):
        return None
    beside = database_path(address.server_uri).parent / "artifacts"
    return (address.artifact_root or beside).resolve().as_uri()


def refuse_moved(address: TrackingAddress, location: str) -> None:
    """MLflow knows the artifacts of an embedded record by their full path, in every run.

    Raises:
        TrackingError: when the folder is gone; the store was moved.
    """
    expected = _artifact_location(address)
    if expected is None or location == expected:
        return
    before, now = (Path(url2pathname(urlsplit(uri).path)) for uri in (location, expected))
    if not before.exists():
        raise TrackingError(
            f"{database_path(address.server_uri)}: its models and reports were in {before}, which "
            "is gone; if the store was moved, move it back, or leave a link where it was: "
            f"ln -s {now.parent} {before.parent}"
        )

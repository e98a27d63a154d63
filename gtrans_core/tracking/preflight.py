"""Faults of the record that waiting cannot mend, found before hours of work and not after.

Nothing that is plainly right costs more than a look: MLflow's own database is read by its tables,
and a server is asked with requests that it must refuse, since they lack what they would need.
"""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from gtrans_core.detector.model_name import model_name
from gtrans_core.errors import ConfigError, StorageError, TrackingError
from gtrans_core.storage import QUICKLY, nearest_existing, require_writable, without_secrets
from gtrans_core.tracking.address import SQLITE_SCHEME, address_problem, is_server
from gtrans_core.tracking.client import (
    TrackingAddress,
    connect,
    database_path,
    injected_run_id,
    translate_mlflow_errors,
)
from gtrans_core.tracking.experiment import deleted_experiment, experiment_of, refuse_moved

_ENDPOINT_VARIABLE = "MLFLOW_S3_ENDPOINT_URL"
_PROXIED = ("mlflow-artifacts", "http", "https")


def require_record(address: TrackingAddress, category: str, *, make: bool = True) -> str:
    """Refuse a record that runs could never be written to.

    Args:
        address: where runs are to be recorded.
        category: whose registered model is to get a version.
        make: whether what is not there yet is made: the experiment, a database and its folder.

    Returns:
        What is wrong for now, and may mend by itself: a server that is down. Empty: nothing.

    Raises:
        ConfigError: for an address that cannot be one of MLflow's.
        TrackingError: when MLflow, its registry or its store of artifacts would refuse.
        StorageError: when the folder of a database cannot be written.
    """
    uri = address.server_uri
    if problem := address_problem(uri):
        raise ConfigError(f"tracking_uri {problem}")
    try:
        if uri.startswith(SQLITE_SCHEME):
            _check_file(address, make)
        elif is_server(uri):
            from gtrans_core.tracking.server_check import check_server

            location = check_server(address, model_name(category), make=make)
            _check_artifacts(uri, location)
        else:
            _check_database(address, make)
    except (TrackingError, StorageError) as error:
        if not error.passing:
            raise
        return str(error)
    return ""


def _check_file(address: TrackingAddress, make: bool) -> None:
    """Of what is plainly right in the tables, MLflow need not be asked."""
    path = database_path(address.server_uri)
    if not path.exists():
        require_writable(path.parent if make else nearest_existing(path.parent))
        return
    if not os.access(path, os.R_OK | os.W_OK):
        raise TrackingError(f"{path}: MLflow's database cannot be read and written here")
    file = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        with closing(sqlite3.connect(file, uri=True, timeout=5)) as database:
            [[schema]] = database.execute("SELECT version_num FROM alembic_version")
            found = database.execute(
                "SELECT experiment_id, lifecycle_stage, artifact_location FROM experiments "
                "WHERE name = ?",
                [address.experiment],
            ).fetchone()
    except (sqlite3.Error, ValueError):
        if make or path.stat().st_size:  # MLflow makes its tables in an empty file
            _check_database(address, make)
        return
    if schema not in _newest_schemas():
        _check_database(address, make)
    if found and found[1] != "active":
        raise TrackingError(f"{path}: {deleted_experiment(address.experiment, str(found[0]))}")
    if found:
        refuse_moved(address, str(found[2]))


def _check_database(address: TrackingAddress, make: bool) -> None:
    client = connect(address.server_uri)
    with translate_mlflow_errors(client.tracking_uri, "open the experiment"):
        if not injected_run_id():
            experiment_of(client, address, make=make)


def _newest_schemas() -> set[str]:
    """What MLflow's tables may be at, read from its own migrations: importing it takes seconds."""
    spec = find_spec("mlflow")
    if spec is None or spec.origin is None:
        return set()
    folder = Path(spec.origin).parent / "store" / "db_migrations" / "versions"
    text = "\n".join(file.read_text(encoding="utf-8") for file in folder.glob("*.py"))
    made, below = (
        set(re.findall(rf"^{name} = ['\"](\w+)['\"]", text, re.MULTILINE))
        for name in ("revision", "down_revision")
    )
    return made - below


def _check_artifacts(uri: str, location: str) -> None:
    """Whether this machine can reach the store that a server keeps an experiment's files in."""
    scheme = urlsplit(location).scheme
    if scheme in _PROXIED or not location:
        return
    place = f"MLflow at {without_secrets(uri)}: its files are in {without_secrets(location)}"
    if scheme == "s3":
        _check_bucket(place, location)
    elif scheme in ("", "file"):
        _check_folder(place, Path(url2pathname(urlsplit(location).path)))
    else:
        with translate_mlflow_errors(uri, f"use its store of artifacts, {scheme}://"):
            from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

            get_artifact_repository(location)


def _check_bucket(place: str, location: str) -> None:
    from gtrans_core.storage.s3 import S3Store

    try:
        S3Store(location, QUICKLY, os.environ.get(_ENDPOINT_VARIABLE)).require_readable()
    except StorageError as error:
        raise TrackingError(f"{place}: {error}", passing=error.passing) from None


def _check_folder(place: str, folder: Path) -> None:
    if not os.access(nearest_existing(folder), os.W_OK | os.X_OK):
        raise TrackingError(
            f"{place}, a folder that this machine cannot write: start the server with "
            "--serve-artifacts, or mount the folder here"
        )

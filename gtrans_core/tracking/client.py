"""How this project talks to MLflow: which server, how patiently, and how a failure is told."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtrans_core.errors import GTransError, TrackingError
from gtrans_core.storage import exclusive, file_error, is_full, without_secrets
from gtrans_core.tracking.address import SQLITE_SCHEME
from gtrans_core.tracking.answers import fault_of
from gtrans_core.tracking.bounded_answers import bound_answers

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ALWAYS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # The `uv.lock` of the folder we run in has no business in a model.
    "MLFLOW_UV_AUTO_DETECT": "false",
}
_UNLESS_SET = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # MLflow's own values block for 4 minutes on a dead server. These block for half a minute when
    # the connection is refused, and for two minutes when nothing answers at all.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    # Parts of a file from addresses that the server names: of a size that nobody bounds.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
}


@dataclass(frozen=True)
class TrackingAddress:
    """Where runs are recorded.

    Attributes:
        uri: ``sqlite:///PATH/mlflow.db``, or the address of an MLflow server.
        experiment: the experiment's name; made when it is not there.
        artifact_root: folder of the artifacts of an experiment made on ``sqlite:///``; None:
            ``artifacts`` beside the database. A server has its own.
    """

    uri: str
    experiment: str
    artifact_root: Path | None = None

    @property
    def server_uri(self) -> str:
        """``uri``, unless this process was given an MLflow run to write to: then that run's."""
        if injected_run_id():
            return os.environ.get("MLFLOW_TRACKING_URI") or self.uri
        return self.uri


def injected_run_id() -> str | None:
    """The run that an orchestrator made for this process (``MLFLOW_RUN_ID``), if any."""
    return os.environ.get("MLFLOW_RUN_ID") or None


def import_mlflow() -> Any:
    """MLflow, imported with the settings that ``connect`` wants."""
    os.environ.update(_ALWAYS)
    for name, value in _UNLESS_SET.items():
        os.environ.setdefault(name, value)
    import mlflow

    # It logs a traceback of what it then raises, which is told in a line.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    bound_answers()
    return mlflow


def import_mlflow_for_database() -> None:
    """As ``import_mlflow``, with what MLflow imports once it opens a database."""
    import_mlflow()
    import mlflow.store.model_registry.sqlalchemy_store
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401


def connect(uri: str) -> MlflowClient:
    """A client of one tracking server and registry; MLflow's global addresses play no part.

    Raises:
        TrackingError: for an address that MLflow cannot use.
        StorageError: when the folder of a ``sqlite:///`` database cannot be written.
    """
    mlflow = import_mlflow()
    with translate_mlflow_errors(uri, "connect"):
        if uri.startswith(SQLITE_SCHEME):
            _set_up_database(database_path(uri))
        client: MlflowClient = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
        return client


def database_path(uri: str) -> Path:
    """The file of a ``sqlite:///`` address."""
    return Path(uri.removeprefix(SQLITE_SCHEME))


def has_record(uri: str) -> bool:
    """Whether there can be anything to read: a database file that is not there holds nothing."""
    return not uri.startswith(SQLITE_SCHEME) or database_path(uri).is_file()


def connect_existing(uri: str) -> MlflowClient:
    """``connect`` to a record that is there already; an embedded one is not made.

    Raises:
        TrackingError: when there is none, or for an address that MLflow cannot use.
    """
    if not has_record(uri):
        raise TrackingError(f"no record at {uri}; name the folder of the runs with --store")
    return connect(uri)


@contextlib.contextmanager
def translate_mlflow_errors(uri: str, doing: str) -> Iterator[None]:
    """Turn whatever MLflow, or what it uses, raises within into one clear line.

    Raises:
        TrackingError: ``MLflow at URI: cannot DOING: reason``, without any credentials.
        StorageError: when a disk of this machine is full, such as that of temporary files.
    """
    try:
        yield
    except GTransError:
        raise
    except OSError as error:
        if is_full(error):
            raise file_error(error) from None
        raise _told(error, uri, doing) from None
    except Exception as error:  # noqa: BLE001 - whatever comes is an answer that was not expected
        raise _told(error, uri, doing) from None


def _told(error: Exception, uri: str, doing: str) -> TrackingError:
    fault = fault_of(error, uri)
    line = f"MLflow at {without_secrets(uri)}: cannot {doing}: {fault.text}"
    return TrackingError(line, passing=not fault.lasting)


def set_version_tag(client: MlflowClient, name: str, version: int, tag: str, value: str) -> None:
    """Write a tag of a registered version; others may do so at the same moment."""
    _despite_races(lambda: client.set_model_version_tag(name, str(version), tag, value))


def set_alias(client: MlflowClient, name: str, alias: str, version: int) -> None:
    """Point an alias to a version; others may do so at the same moment."""
    _despite_races(lambda: client.set_registered_model_alias(name, alias, str(version)))


def _despite_races(write: Callable[[], None]) -> None:
    """When two write the same thing for the first time at once, MLflow refuses one (BAD_REQUEST).

    It looks first and then inserts; a second try finds what the other one inserted.
    """
    from mlflow.exceptions import MlflowException

    try:
        write()
    except MlflowException as error:
        if error_code(error) != "BAD_REQUEST":
            raise
        write()


def error_code(error: Exception) -> str:
    """MLflow's code of an exception, e.g. ``RESOURCE_DOES_NOT_EXIST``; ``""`` where it has none."""
    return str(getattr(error, "error_code", ""))


def _set_up_database(path: Path) -> None:
    """Let MLflow make its tables, once and whole.

    Its own set-up breaks when two processes begin together, and cannot go on after a kill. So one
    process at a time does it, in a temporary folder.
    """
    from mlflow import MlflowClient

    if path.exists():  # whole, since it appeared in one go; it may be on a read-only disk
        return
    with exclusive(path):
        if path.exists():
            return
        with tempfile.TemporaryDirectory(prefix=".setting-up-", dir=path.parent) as scratch:
            new = Path(scratch) / path.name
            MlflowClient(f"{SQLITE_SCHEME}{new}")
            new.replace(path)

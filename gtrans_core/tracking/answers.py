"""What MLflow's exceptions mean for a user: every one is at least an unexpected answer."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gtrans_core.storage.connection import Fault, connection_fault
from gtrans_core.storage.documents import parse_json

TRUST_SETTING = "MLFLOW_TRACKING_SERVER_CERT_PATH"
NOT_MLFLOW = "the answer is not that of an MLflow server; is the address right, are you logged in?"
_REASON_LENGTH = 300
_REFUSED_STATUS = re.compile(r"failed with error code (\d{3}) != 200\. Response body: '(.*)", re.S)
_BUSY = re.compile(r"too many (\d{3}) error responses")
_NO_JSON = "not in a valid JSON format"
_PASSING_STATUS = (408, 425, 429, 500, 502, 503, 504)
_CODES = {
    "UNAUTHENTICATED": 401,
    "CUSTOMER_UNAUTHORIZED": 401,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "TEMPORARILY_UNAVAILABLE": 503,
}


def fault_of(error: Exception, uri: str) -> Fault:
    """What an exception raised by MLflow, or by what it uses, means.

    Args:
        error: the exception.
        uri: address of the tracking server or database.
    """
    return (
        _of_mlflow(error, uri)
        or _of_artifact_store(error)
        or connection_fault(error, TRUST_SETTING)
        or _of_database(error)
        or _of_this_machine(error)
        or Fault(f"unexpected answer ({type(error).__name__}); is it an MLflow server?", True)
    )


def status_fault(status: int, body: str, uri: str) -> Fault:
    """What an HTTP status other than 200 means.

    Args:
        status: the status.
        body: text of the answer.
        uri: address of the tracking server.
    """
    said = f"({status})"
    if status in _PASSING_STATUS:
        return Fault(f"the server is busy or broken {said}", lasting=False)
    if "invalid host header" in body.lower():
        host = urlsplit(uri).netloc.rpartition("@")[2]
        return Fault(
            f"it does not answer to the name {host} (Invalid Host header); start it with "
            f"--allowed-hosts {host}, or use a name that it knows {said}",
            lasting=True,
        )
    if status in (401, 407):
        return Fault(
            "it wants a login; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            f"MLFLOW_TRACKING_TOKEN {said}",
            lasting=True,
        )
    if status == 403:
        return Fault(
            "permission denied; the user of MLFLOW_TRACKING_USERNAME or MLFLOW_TRACKING_TOKEN "
            f"needs the right to do so {said}",
            lasting=True,
        )
    if status == 413:
        return Fault(f"too large for the server or a proxy before it; raise its limit {said}", True)
    own = _own_words(body)
    if own and status != 404:
        return Fault(f"{own} {said}", lasting=True)
    return Fault(f"{NOT_MLFLOW[:-1]} {said}?", lasting=True)


def _of_mlflow(error: Exception, uri: str) -> Fault | None:
    if not type(error).__module__.startswith("mlflow."):
        return None
    text = str(error)
    if refused := _REFUSED_STATUS.search(text):
        return status_fault(int(refused[1]), refused[2].rstrip("'"), uri)
    if busy := _BUSY.search(text):
        return status_fault(int(busy[1]), "", uri)
    if _NO_JSON in text:
        return Fault(NOT_MLFLOW, lasting=True)
    broken = connection_fault(error, TRUST_SETTING)
    if broken is not None:
        return broken
    if "failed with exception" in text:
        return Fault("no good answer from the server; is it running?", lasting=False)
    if told := _of_database(error.__cause__):
        return told
    code = _CODES.get(str(getattr(error, "error_code", "")))
    if code is not None:
        return status_fault(code, json.dumps({"message": text}), uri)
    return Fault(_short(text) or type(error).__name__, lasting=True)


def _of_artifact_store(error: Exception) -> Fault | None:
    """Artifacts may lie in S3, which MLflow's client talks to itself."""
    if not {"botocore", "boto3"} & set(sys.modules):
        return None
    from gtrans_core.storage.s3_errors import is_s3_error, s3_fault

    for one in (error, error.__cause__, error.__context__):
        if isinstance(one, Exception) and is_s3_error(one):
            text, lasting = s3_fault(one)
            return Fault(f"its files are in S3: {text}", lasting)
    return None


def _of_database(error: BaseException | None) -> Fault | None:
    if isinstance(error, ModuleNotFoundError):
        return Fault(f"the Python package {error.name} is not installed; install it", True)
    if not type(error).__module__.startswith("sqlalchemy."):
        return None
    passing = type(error).__name__ in ("OperationalError", "TimeoutError", "InterfaceError")
    origin: Any = getattr(error, "orig", None) or error
    said = _short(str(origin))
    if "readonly database" in said:
        return Fault(f"its database may not be written ({said}); check its rights", lasting=True)
    return Fault(said, lasting=not passing)


def _of_this_machine(error: Exception) -> Fault | None:
    if not isinstance(error, OSError):
        return None
    if isinstance(error, shutil.Error):  # of each file that could not be copied; one is told
        [(_, target, reason), *_] = error.args[0]
        return Fault(f"{target}: {reason}", lasting=True)
    if error.errno is None:  # that is how requests reports
        text = f"no good answer from the server; is it running? ({type(error).__name__})"
        return Fault(text, lasting=False)
    where = f"{Path(str(error.filename))}: " if error.filename else ""
    return Fault(f"{where}{error.strerror}", lasting=True)


def _own_words(body: str) -> str:
    """What a server of MLflow's says in its JSON."""
    try:
        return _short(str(parse_json(body)["message"]))
    except (ValueError, LookupError, TypeError):
        return ""


def _short(text: str) -> str:
    return " ".join(text.split())[:_REASON_LENGTH]

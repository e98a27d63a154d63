"""Whether an MLflow server will take a run and a version, asked before there is one.

Each request lacks a field that the server insists on: one who may make it is told so, one who may
not is refused before that. Nothing is made but the experiment, which the first step makes anyway.
"""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import urljoin, urlsplit

from gtrans_core.errors import TrackingError
from gtrans_core.storage import without_secrets
from gtrans_core.storage.connection import Fault
from gtrans_core.storage.documents import OddDocumentError, parse_json
from gtrans_core.tracking.answers import NOT_MLFLOW, status_fault
from gtrans_core.tracking.client import (
    TrackingAddress,
    connect,
    injected_run_id,
    translate_mlflow_errors,
)
from gtrans_core.tracking.experiment import deleted_experiment

_API = "/api/2.0/mlflow/"
_TIMEOUT_S = 10
_MISSING = "RESOURCE_DOES_NOT_EXIST"
_THERE = "RESOURCE_ALREADY_EXISTS"


def check_server(address: TrackingAddress, model: str, *, make: bool) -> str:
    """Ask a server for all that a run will need.

    Args:
        address: where runs are to be recorded.
        model: name of the registered model that is to get a version.
        make: whether an experiment that is not there is made.

    Returns:
        Where the experiment keeps its files; empty when there is no experiment yet.

    Raises:
        TrackingError: when it would refuse, is no MLflow server, or does not answer (``passing``).
    """
    server = _Server(address.server_uri)
    if injected_run_id():
        experiment: dict[str, Any] = {}
        server.ask("look for an experiment", "GET", "experiments/get-by-name", experiment_name="-")
    else:
        experiment = _experiment(server, address, make)
    server.ask("register models", "POST", "registered-models/create", name="")
    _, answer = server.ask(f"look for {model}", "GET", "registered-models/get", name=model)
    if answer.get("error_code") != _MISSING:
        server.ask(f"register {model}", "POST", "model-versions/create", name=model, source="")
    if experiment:
        server.ask(
            f"start runs in {address.experiment}",
            "POST",
            "runs/create",
            experiment_id=str(experiment["experiment_id"]),
            start_time="not a time",
        )
    return str(experiment.get("artifact_location", ""))


def _experiment(server: _Server, address: TrackingAddress, make: bool) -> dict[str, Any]:
    name = address.experiment
    look = ("open the experiment", "GET", "experiments/get-by-name")
    status, answer = server.ask(*look, experiment_name=name)
    if answer.get("error_code") == _MISSING:
        made, refused = server.ask(
            f"make the experiment {name}",
            "POST",
            "experiments/create",
            name=name if make else "",
        )
        if not make:
            return {}
        if made != 200 and refused.get("error_code") != _THERE:
            raise server.error(f"make the experiment {name}", made, json.dumps(refused))
        status, answer = server.ask(*look, experiment_name=name)
    found = answer.get("experiment")
    if status != 200 or not isinstance(found, dict) or found.get("name") != name:
        raise server.foreign("open the experiment")
    if found.get("lifecycle_stage", "active") != "active":
        raise TrackingError(f"{server}: {deleted_experiment(name, str(found['experiment_id']))}")
    return found


class _Server:
    """An MLflow server, asked once and without patience; with MLflow's own login and TLS."""

    def __init__(self, uri: str) -> None:
        connect(uri)  # sets MLflow up; nothing is sent
        self._uri = uri

    def __str__(self) -> str:
        return f"MLflow at {without_secrets(self._uri)}"

    def ask(self, doing: str, method: str, path: str, **fields: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer that only MLflow gives: 200, or an error with its code.

        Raises:
            TrackingError: for any other answer, a login, a missing right.
        """
        reply = self._sent(doing, method, path, fields, follow=False)
        if reply.is_redirect:
            target = urljoin(reply.url, reply.headers["location"])
            if urlsplit(target).path != urlsplit(reply.url).path:
                raise self.foreign(doing, target)
            # Such as to https: MLflow's client follows too.
            reply = self._sent(doing, method, path, fields, follow=True)
        status, text = reply.status_code, reply.text
        answer = _object(text)
        code = answer.get("error_code")
        if status == 200 and answer and code is None:
            return status, answer
        if status in (400, 404, 409) and code not in (None, "ENDPOINT_NOT_FOUND"):
            return status, answer
        if status == 200:
            raise self.foreign(doing)
        raise self.error(doing, status, text)

    def error(self, doing: str, status: int, text: str) -> TrackingError:
        """What to raise for a status."""
        return self._error(doing, status_fault(status, text, self._uri))

    def foreign(self, doing: str, target: str = "") -> TrackingError:
        """What to raise for an answer that is not MLflow's."""
        to = f" (it redirects to {without_secrets(target)})" if target else ""
        return self._error(doing, Fault(NOT_MLFLOW + to, lasting=True))

    def _error(self, doing: str, fault: Fault) -> TrackingError:
        return TrackingError(f"{self}: cannot {doing}: {fault.text}", passing=not fault.lasting)

    def _sent(
        self, doing: str, method: str, path: str, fields: dict[str, str], *, follow: bool
    ) -> Any:
        """The answer, as requests has it."""
        from mlflow.utils.credentials import get_default_host_creds
        from mlflow.utils.rest_utils import http_request

        body: dict[str, Any] = {"params": fields} if method == "GET" else {"json": fields}
        quiet = logging.getLogger("urllib3.connectionpool")
        before = quiet.level
        with translate_mlflow_errors(self._uri, doing):
            quiet.setLevel(logging.ERROR)
            try:
                credentials = get_default_host_creds(self._uri)  # type: ignore[no-untyped-call]
                return http_request(  # type: ignore[no-untyped-call]
                    credentials,
                    _API + path,
                    method,
                    max_retries=0,
                    timeout=_TIMEOUT_S,
                    raise_on_status=False,
                    allow_redirects=follow,
                    **body,
                )
            finally:
                quiet.setLevel(before)


def _object(text: str) -> dict[str, Any]:
    """A JSON object; anything else has no keys."""
    try:
        found = parse_json(text)
    except OddDocumentError:
        return {}
    return found if isinstance(found, dict) else {}

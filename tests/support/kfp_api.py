"""A stand-in for the Kubeflow Pipelines API (v2beta1) that holds requests to the published schema.

The schema is that of kfp-server-api, which is generated from Kubeflow's own: a body with a key, a
type or an enum value that its models do not have is answered with 400, as is a query parameter or a
reference to something that was never made. State is kept in memory; faults are put in by tests.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
import yaml

API = "/apis/v2beta1"
NOW = "2026-11-26T12:00:00Z"
_PRIMITIVES = {"str": str, "datetime": str, "bool": bool, "int": int, "int64": (int, str)}
_INT64 = ("max_concurrency",)
"""The models say str: proto3's JSON writes an int64 as a string, and reads a number too."""


class Refused(Exception):  # noqa: N818 - an answer, not a mistake of ours
    """An answer with an HTTP status and Google's error JSON."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def checked(value: Any, kind: str, where: str = "body") -> Any:
    """The value, if it is one of a kind of the published schema (a model's or a type's name)."""
    if kind == "object":
        return value
    if kind in _PRIMITIVES:
        if not isinstance(value, _PRIMITIVES[kind]):
            raise Refused(400, f"{where}: expected {kind}, got {value!r}")
        return value
    if kind.startswith("list["):
        return [checked(one, kind[5:-1], f"{where}[]") for one in value]
    if kind.startswith("dict("):
        inner = kind[5:-1].split(", ")[1]
        return {key: checked(one, inner, f"{where}.{key}") for key, one in value.items()}
    model = getattr(kfp_server_api, kind)
    if not model.openapi_types:
        if value not in model.allowable_values:
            raise Refused(400, f"{where}: {value!r} is no {kind}")
        return value
    return _checked_model(value, model, where)


def _checked_model(value: Any, model: Any, where: str) -> Any:
    names = {external: internal for internal, external in model.attribute_map.items()}
    if not isinstance(value, dict) or (unknown := set(value) - set(names)):
        raise Refused(400, f"{where}: {model.__name__} has no {sorted(unknown)}")
    for key, one in value.items():
        kind = "int64" if key in _INT64 else model.openapi_types[names[key]]
        checked(one, kind, f"{where}.{key}")
    return value


class KfpApi:
    """The server's state, what it was asked, and the faults a test puts in."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = ""
        """With one, requests need ``Authorization: Bearer TOKEN``."""
        self.multi_user = False
        self.delay_s = 0.0
        self.before: list[Callable[[str, str], None]] = []
        """Called with method and path; may raise Refused."""
        self.requests: list[tuple[str, str]] = []
        self.experiments: dict[str, dict] = {}
        self.pipelines: dict[str, dict] = {}
        self.versions: dict[str, dict] = {}
        self.runs: dict[str, dict] = {}
        self.recurring: dict[str, dict] = {}
        self.script: list[dict[str, str]] = [
            {"": "RUNNING", "ingest": "RUNNING"},
            {"": "SUCCEEDED", "ingest": "SUCCEEDED"},
        ]
        """States of a run and its steps, one look after the other; the last one stays."""
        self._looks: dict[str, int] = {}

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> dict:  # noqa: C901
        """The whole API that is stood in for, a line a request."""
        match (method, path.removeprefix(API).strip("/").split("/")):
            case "GET", ["healthz"]:
                return {"multi_user": self.multi_user}
            case "GET", ["experiments"]:
                return {"experiments": self._filtered(self.experiments, query)}
            case "POST", ["experiments"]:
                return self._make(self.experiments, "experiment_id", body, "V2beta1Experiment")
            case "GET", ["pipelines"]:
                return {"pipelines": self._filtered(self.pipelines, query)}
            case "POST", ["pipelines", "upload"]:
                return self._upload(query, body)
            case "POST", ["pipelines", "upload_version"]:
                return self._upload_version(query, body)
            case "GET", ["pipelines", pipeline, "versions"]:
                there = {k: v for k, v in self.versions.items() if v["pipeline_id"] == pipeline}
                return {"pipeline_versions": self._filtered(there, query)}
            case "GET", ["runs"]:
                return {"runs": list(self.runs.values())[: int(query.get("page_size", 20))]}
            case "POST", ["runs"]:
                self._refer(body)
                return self._make(self.runs, "run_id", {**body, "state": "PENDING"}, "V2beta1Run")
            case "GET", ["runs", run]:
                return self._look(run)
            case "POST", ["runs", action] if action.endswith(":terminate"):
                self._look(action.removesuffix(":terminate"))["state"] = "CANCELING"
                return {}
            case "GET", ["recurringruns"]:
                return {"recurringRuns": list(self.recurring.values())}
            case "POST", ["recurringruns"]:
                return self._schedule(body)
            case "GET", ["recurringruns", one]:
                if one not in self.recurring:
                    raise Refused(404, f"recurring run {one} not found")
                return self.recurring[one]
            case "DELETE", ["recurringruns", one]:
                if self.recurring.pop(one, None) is None:
                    raise Refused(404, f"recurring run {one} not found")
                return {}
        raise Refused(404, f"{method} {path} is not of the API")

    def _make(self, table: dict[str, dict], key: str, body: Any, kind: str) -> dict:
        checked(body, kind)
        made = {**body, key: str(uuid.uuid4()), "created_at": NOW}
        table[made[key]] = made
        return made

    def _upload(self, query: dict[str, str], package: bytes) -> dict:
        self._check_package(package)
        if any(one["display_name"] == query["name"] for one in self.pipelines.values()):
            raise Refused(409, f"pipeline {query['name']} exists")
        namespace = {"namespace": query["namespace"]} if "namespace" in query else {}
        body = {"display_name": query["name"], **namespace}
        return self._make(self.pipelines, "pipeline_id", body, "V2beta1Pipeline")

    def _upload_version(self, query: dict[str, str], package: bytes) -> dict:
        if query["pipelineid"] not in self.pipelines:
            raise Refused(404, f"pipeline {query['pipelineid']} not found")
        spec, platforms = self._check_package(package)
        body = {
            "pipeline_id": query["pipelineid"],
            "display_name": query["name"],
            "pipeline_spec": {"pipeline_spec": spec, "platform_spec": platforms},
        }
        return self._make(self.versions, "pipeline_version_id", body, "V2beta1PipelineVersion")

    @staticmethod
    def _check_package(package: bytes) -> tuple[dict, dict]:
        """Kubeflow takes IR, and after it the platforms' settings."""
        from google.protobuf import json_format
        from kfp.pipeline_spec import pipeline_spec_pb2

        documents = list(yaml.safe_load_all(package))
        json_format.ParseDict(documents[0], pipeline_spec_pb2.PipelineSpec())
        platforms = documents[1] if len(documents) > 1 else {}
        json_format.ParseDict(platforms, pipeline_spec_pb2.PlatformSpec())
        return documents[0], platforms

    def _refer(self, body: dict) -> None:
        if body["experiment_id"] not in self.experiments:
            raise Refused(404, f"experiment {body['experiment_id']} not found")
        reference = body["pipeline_version_reference"]
        version = self.versions.get(reference["pipeline_version_id"])
        if version is None or version["pipeline_id"] != reference["pipeline_id"]:
            raise Refused(404, f"pipeline version {reference} not found")
        self._check_parameters(version, body["runtime_config"]["parameters"])

    @staticmethod
    def _check_parameters(version: dict, given: dict) -> None:
        """As the server does: every parameter known, of its type, and none missing."""
        root = version["pipeline_spec"]["pipeline_spec"]["root"]
        inputs = root["inputDefinitions"]["parameters"]
        types = {"STRING": str, "LIST": list, "STRUCT": dict, "BOOLEAN": bool}
        for name, value in given.items():
            if name not in inputs:
                raise Refused(400, f"unknown parameter {name}")
            kind = types.get(inputs[name]["parameterType"], (int, float))
            if not isinstance(value, kind):
                raise Refused(400, f"parameter {name}: {value!r} is of another type")
        missing = [n for n, one in inputs.items() if not one.get("isOptional") and n not in given]
        if missing:
            raise Refused(400, f"parameters are missing: {missing}")

    def _schedule(self, body: dict) -> dict:
        self._refer(body)
        checked(body, "V2beta1RecurringRun")
        made = {**body, "recurring_run_id": str(uuid.uuid4()), "status": "ENABLED"}
        self.recurring[made["recurring_run_id"]] = made
        return made

    def _look(self, run_id: str) -> dict:
        run = self.runs.get(run_id)
        if run is None:
            raise Refused(404, f"run {run_id} not found")
        look = min(self._looks.get(run_id, 0), len(self.script) - 1)
        self._looks[run_id] = look + 1
        states = self.script[look]
        tasks = [
            {"run_id": run_id, "task_id": step, "display_name": step, "state": state}
            for step, state in states.items()
            if step
        ]
        run |= {"state": states[""], "run_details": {"task_details": tasks}}
        return run

    @staticmethod
    def _filtered(table: dict[str, dict], query: dict[str, str]) -> list[dict]:
        predicates = json.loads(query.get("filter") or "{}").get("predicates", [])
        wanted = {one["key"]: one["stringValue"] for one in predicates}
        return [one for one in table.values() if wanted.items() <= one.items()]


@contextmanager
def kfp_api() -> Iterator[KfpApi]:
    """The API on a free port of this machine, for the time of the context."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    api = KfpApi(f"http://127.0.0.1:{server.server_port}")
    server.api = api
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Not to the test's output."""

    def _serve(self) -> None:
        api: KfpApi = self.server.api
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        body = self._body()
        api.requests.append((self.command, parts.path))
        time.sleep(api.delay_s)
        try:
            if api.token and self.headers["Authorization"] != f"Bearer {api.token}":
                raise Refused(401, "Unauthenticated: Request header error: there is no user")
            for fault in api.before:
                fault(self.command, parts.path)
            self._send(200, api.answer(self.command, parts.path, query, body))
        except Refused as error:
            self._send(error.status, {"error": str(error), "code": 3, "message": str(error)})
        except BrokenPipeError:
            pass  # the client did not wait

    def _body(self) -> Any:
        data = self.rfile.read(int(self.headers["Content-Length"] or 0))
        kind = self.headers["Content-Type"] or ""
        if kind.startswith("multipart/form-data"):
            head = f"Content-Type: {kind}\r\n\r\n".encode()
            [part] = BytesParser().parsebytes(head + data).get_payload()
            return part.get_payload(decode=True)
        return json.loads(data) if data else None

    def _send(self, status: int, answer: dict) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

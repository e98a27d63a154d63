"""What MLflow would refuse at the end of a run is found before it; a server that is down is not."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from gtrans_core.errors import ConfigError, TrackingError
from gtrans_core.tracking.client import TrackingAddress, connect
from gtrans_core.tracking.preflight import require_record
from gtrans_core.tracking.runs import open_run
from tests.support.odd_server import (
    JSON,
    ODD_ANSWERS,
    Answer,
    OddServer,
    answering,
    certificate,
    speaking,
)

API = "/api/2.0/mlflow/"


class Mlflow:
    """As much of an MLflow server as is asked; paths in ``denied`` are answered as it says."""

    def __init__(self) -> None:
        self.experiments = {"gtrans": {"experiment_id": "1", "name": "gtrans"}}
        self.location = "mlflow-artifacts:/1"
        self.models = {"gtrans-part"}
        self.denied: dict[str, Answer] = {}

    def __call__(self, method: str, path: str) -> Answer:
        parts = urlsplit(path)
        what = parts.path.removeprefix(API)
        if what in self.denied:
            return self.denied[what]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        match what:
            case "experiments/get-by-name":
                found = self.experiments.get(query["experiment_name"])
                if found is None:
                    return refusal(404, "RESOURCE_DOES_NOT_EXIST")
                known = {"artifact_location": self.location, **found}
                return Answer(body=json.dumps({"experiment": known}).encode(), headers=JSON)
            case "registered-models/get":
                if query["name"] not in self.models:
                    return refusal(404, "RESOURCE_DOES_NOT_EXIST")
                return Answer(body=b'{"registered_model": {"name": "x"}}', headers=JSON)
            case "experiments/create":
                self.experiments["new"] = {"experiment_id": "2", "name": "new"}
                return Answer(body=b'{"experiment_id": "2"}', headers=JSON)
        return refusal(400, "INVALID_PARAMETER_VALUE")


def refusal(status: int, code: str) -> Answer:
    said = {"error_code": code, "message": "missing value for a required parameter"}
    return Answer(status, json.dumps(said).encode(), JSON)


@pytest.fixture
def mlflow() -> Mlflow:
    return Mlflow()


@pytest.fixture
def server(mlflow: Mlflow) -> Iterator[OddServer]:
    with answering(mlflow) as server:
        yield server


def note(uri: str, experiment: str = "gtrans", *, make: bool = True) -> str:
    return require_record(TrackingAddress(uri, experiment), "part", make=make)


def refused(uri: str, experiment: str = "gtrans") -> str:
    with pytest.raises(TrackingError) as caught:
        note(uri, experiment)
    text = str(caught.value)
    assert not caught.value.passing
    assert "\n" not in text
    assert "CANARY" not in text
    return text


class TestServers:
    def test_one_that_would_take_the_run(self, server: OddServer) -> None:
        assert note(server.url) == ""
        asked = [path.removeprefix(API).partition("?")[0] for _, path in server.requests]
        assert asked == [
            "experiments/get-by-name",
            "registered-models/create",
            "registered-models/get",
            "model-versions/create",
            "runs/create",
        ]

    def test_an_experiment_that_is_not_there_is_made(
        self, server: OddServer, mlflow: Mlflow
    ) -> None:
        assert note(server.url, "new") == ""
        assert "new" in mlflow.experiments

    def test_a_model_that_is_not_there_needs_no_version_now(
        self, server: OddServer, mlflow: Mlflow
    ) -> None:
        mlflow.models.clear()
        mlflow.denied["model-versions/create"] = Answer(403)
        assert note(server.url) == ""

    def test_a_deleted_experiment_says_how_to_go_on(
        self, server: OddServer, mlflow: Mlflow
    ) -> None:
        mlflow.experiments["gtrans"]["lifecycle_stage"] = "deleted"
        text = refused(server.url)
        assert "restore it (`mlflow experiments restore --experiment-id 1`) or name another" in text

    @pytest.mark.parametrize(
        "denied",
        [
            "experiments/get-by-name",
            "registered-models/create",
            "registered-models/get",
            "model-versions/create",
            "runs/create",
        ],
    )
    @pytest.mark.parametrize(
        ("answer", "says"),
        [
            (Answer(403, b"Permission denied"), "permission denied"),
            (refusal(403, "PERMISSION_DENIED"), "permission denied"),
            (Answer(401, b"You are not authenticated"), "set MLFLOW_TRACKING_USERNAME"),
            (refusal(404, "ENDPOINT_NOT_FOUND"), "not that of an MLflow server"),
        ],
    )
    def test_a_missing_right(
        self, server: OddServer, mlflow: Mlflow, denied: str, answer: Answer, says: str
    ) -> None:
        mlflow.denied[denied] = answer
        assert says in refused(server.url)

    @pytest.mark.parametrize("odd", ODD_ANSWERS)
    def test_what_is_no_mlflow_server(self, odd: str) -> None:
        with answering(ODD_ANSWERS[odd]) as server:
            text = refused(server.url)
            assert text.startswith(f"MLflow at {server.url}: cannot open the experiment: ")

    def test_another_name_than_the_server_knows(self) -> None:
        with answering(ODD_ANSWERS["403"]) as server:
            host = server.url.removeprefix("http://")
            assert f"does not answer to the name {host} (Invalid Host header)" in refused(
                server.url
            )

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_one_that_is_busy_is_only_noted(self, status: int) -> None:
        page = Answer(status, b"<html>no healthy upstream", {"Retry-After": "30"})
        with answering(page) as server:
            assert f"({status})" in note(server.url)
            assert len(server.requests) == 1

    def test_one_that_is_down_is_only_noted(self) -> None:
        assert "nobody listens there" in note("http://127.0.0.1:9")

    def test_a_port_of_another_protocol(self) -> None:
        with speaking(b"SSH-2.0-OpenSSH_9.6\r\n") as place:
            assert "does not speak HTTP" in refused(f"http://{place}")
            assert "is it http:// and not https://?" in refused(f"https://{place}")

    def test_certificates(
        self, mlflow: Mlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = certificate(tmp_path)
        with answering(mlflow, known.context) as server:
            assert "not trusted; set MLFLOW_TRACKING_SERVER_CERT_PATH" in refused(server.url)
            monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(known.authority))
            assert note(server.url) == ""
        expired = certificate(tmp_path, days=-3)
        with answering(mlflow, expired.context) as server:
            assert "has expired" in refused(server.url)
        other = certificate(tmp_path, address="127.0.0.2")
        with answering(mlflow, other.context) as server:
            assert "is for another name" in refused(server.url)


class TestArtifacts:
    def test_no_credentials_for_the_bucket(
        self,
        server: OddServer,
        mlflow: Mlflow,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
            monkeypatch.setenv(name, str(tmp_path / "none"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        mlflow.location = "s3://bucket/1"
        text = refused(server.url)
        assert "its files are in s3://bucket/1: " in text
        assert "no credentials; set AWS_ACCESS_KEY_ID" in text

    @pytest.mark.parametrize("odd", ["403", "a login page", "a redirect elsewhere"])
    def test_a_bucket_that_is_none(
        self,
        server: OddServer,
        mlflow: Mlflow,
        monkeypatch: pytest.MonkeyPatch,
        odd: str,
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "CANARY-secret")
        mlflow.location = "s3://bucket/1"
        with answering(ODD_ANSWERS[odd]) as store:
            monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", store.url)
            assert store.url in refused(server.url)
        monkeypatch.setenv("GTRANS_RETRY_SECONDS", "0.1")
        monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9")
        assert "no connection to the endpoint" in note(server.url)

    def test_a_folder_of_the_server(
        self, server: OddServer, mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mlflow.location = "file:///srv/mlflow/1"
        monkeypatch.setattr("os.access", lambda *_: False)
        assert "start the server with --serve-artifacts" in refused(server.url)

    def test_a_kind_whose_package_is_missing(self, server: OddServer, mlflow: Mlflow) -> None:
        mlflow.location = "nosuch://bucket/1"
        assert "cannot use its store of artifacts, nosuch://" in refused(server.url)


class TestDatabases:
    @pytest.fixture
    def own(self, settings: TrackingAddress, tmp_path: Path) -> TrackingAddress:
        """A copy of a database with an experiment."""
        open_run(settings, "key", "part")
        path = tmp_path / "mlflow.db"
        with (
            closing(sqlite3.connect(settings.uri.removeprefix("sqlite:///"))) as whole,
            closing(sqlite3.connect(path)) as copy,
        ):
            whole.backup(copy)
            location = (tmp_path / "artifacts").as_uri()
            copy.execute("UPDATE experiments SET artifact_location = ?", [location])
            copy.commit()
        return TrackingAddress(f"sqlite:///{path}", settings.experiment)

    @staticmethod
    def change(settings: TrackingAddress, statement: str) -> None:
        path = settings.uri.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as database:
            database.execute(statement)
            database.commit()

    def test_what_is_right_is_seen_without_mlflow(
        self, own: TrackingAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gtrans_core.tracking.preflight.connect", None)
        for uri, experiment in (
            (own.uri, own.experiment),
            (own.uri, "another"),
            (f"sqlite:///{tmp_path}/new/mlflow.db", "first"),
        ):
            assert note(uri, experiment) == ""

    def test_a_deleted_experiment(self, own: TrackingAddress) -> None:
        self.change(own, "UPDATE experiments SET lifecycle_stage = 'deleted'")
        assert "was deleted: restore it (`mlflow experiments restore" in refused(
            own.uri, own.experiment
        )

    def test_a_store_that_was_moved(self, own: TrackingAddress) -> None:
        self.change(own, "UPDATE experiments SET artifact_location = 'file:///gone/artifacts'")
        assert "if the store was moved, move it back" in refused(own.uri, own.experiment)

    def test_tables_of_another_mlflow(self, own: TrackingAddress) -> None:
        self.change(own, "UPDATE alembic_version SET version_num = '0123456789ab'")
        assert "cannot" in refused(own.uri, own.experiment)

    def test_what_is_no_database(self, tmp_path: Path) -> None:
        path = tmp_path / "mlflow.db"
        path.write_bytes(b"no database " * 1000)
        assert "file is not a database" in refused(f"sqlite:///{path}")

    def test_an_address_that_cannot_work(self) -> None:
        with pytest.raises(ConfigError, match="tracking_uri lacks http://"):
            note("localhost:5000")


def test_the_newest_tables_are_known(settings: TrackingAddress) -> None:
    from gtrans_core.tracking import preflight

    connect(settings.uri)
    with closing(sqlite3.connect(settings.uri.removeprefix("sqlite:///"))) as database:
        [[schema]] = database.execute("SELECT version_num FROM alembic_version")
    assert preflight._newest_schemas() == {schema}

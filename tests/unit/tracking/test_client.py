from __future__ import annotations

import socket
import subprocess
import sys
from unittest.mock import Mock, call, patch

import pytest

from gtrans_core.errors import TrackingError
from gtrans_core.tracking.client import (
    TrackingAddress,
    connect,
    set_alias,
    set_version_tag,
    translate_mlflow_errors,
)


def test_tracking_modules_are_light_to_import():
    code = (
        "import sys, gtrans_core.lineage\n"
        "import gtrans_core.tracking.runs, gtrans_core.tracking.journal\n"
        "import gtrans_core.tracking.registry.registry, gtrans_core.tracking.registry.model\n"
        "import gtrans_core.steps.register\n"
        "assert not {'mlflow', 'torch', 'pandas', 'boto3'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_telemetry_is_off(settings):
    from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY

    connect(settings.uri)
    assert MLFLOW_DISABLE_TELEMETRY.get() is True


def test_dead_server_is_one_line_without_credentials(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        uri = f"http://user:CANARY@127.0.0.1:{reserved.getsockname()[1]}"
        client = connect(uri)
        with pytest.raises(TrackingError) as caught, translate_mlflow_errors(uri, "look"):
            client.get_experiment_by_name("any")
    message = str(caught.value)
    assert "127.0.0.1" in message
    assert "cannot look: nobody listens there; is it running?" in message
    assert "CANARY" not in message
    assert "\n" not in message


def test_credentials_in_mlflows_own_words_are_removed(settings):
    with pytest.raises(TrackingError) as caught, translate_mlflow_errors(settings.uri, "look"):
        raise OSError(5, "postgresql://user:CANARY@host/db is gone")
    assert "CANARY" not in str(caught.value)
    assert "postgresql://host/db is gone" in str(caught.value)


def test_unusable_address_is_refused():
    with pytest.raises(TrackingError, match="MLflow at carrier-pigeon://x: cannot connect"):
        connect("carrier-pigeon://x")


def test_a_password_with_an_at_sign_is_removed_whole(settings):
    with pytest.raises(TrackingError) as caught, translate_mlflow_errors(settings.uri, "look"):
        raise OSError(5, "postgres://ada:p@ss-CANARY@db.local/mlflow is gone")
    assert "CANARY" not in str(caught.value)
    assert "postgres://db.local/mlflow is gone" in str(caught.value)


def test_injected_run_brings_its_server(monkeypatch):
    settings = TrackingAddress("sqlite:///ours.db", "tests")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://theirs")
    assert settings.server_uri == "sqlite:///ours.db"
    monkeypatch.setenv("MLFLOW_RUN_ID", "abc")
    assert settings.server_uri == "http://theirs"


@pytest.mark.parametrize(
    ("codes", "calls", "raised"),
    [
        ([], 1, ""),
        (["BAD_REQUEST"], 2, ""),
        (["BAD_REQUEST", "BAD_REQUEST"], 2, "BAD_REQUEST"),
        (["RESOURCE_DOES_NOT_EXIST"], 1, "RESOURCE_DOES_NOT_EXIST"),
    ],
)
def test_of_two_who_write_the_same_at_once_none_fails(codes, calls, raised):
    """MLflow refuses the second of two first writers with a unique constraint's BAD_REQUEST."""
    from mlflow.exceptions import MlflowException

    class Refusal(MlflowException):
        def __init__(self, code: str) -> None:
            super().__init__("UNIQUE constraint failed")
            self.error_code = code

    def outcome(write) -> str:
        try:
            write()
        except MlflowException as error:
            return error.error_code
        return ""

    effects = [*map(Refusal, codes), None]
    client = Mock()
    client.set_model_version_tag.side_effect = list(effects)
    client.set_registered_model_alias.side_effect = list(effects)
    assert outcome(lambda: set_version_tag(client, "m", 3, "t", "v")) == raised
    assert client.set_model_version_tag.mock_calls == [call("m", "3", "t", "v")] * calls
    assert outcome(lambda: set_alias(client, "m", "a", 3)) == raised
    assert client.set_registered_model_alias.mock_calls == [call("m", "a", "3")] * calls


def test_an_embedded_record_is_opened_without_writing_beside_it(tmp_path):
    """It may be on a disk that is mounted read-only."""
    database = tmp_path / "mlflow.db"
    connect(f"sqlite:///{database}")
    for other in set(tmp_path.iterdir()) - {database}:
        other.unlink()
    with patch("gtrans_core.tracking.client.exclusive", side_effect=AssertionError("a lock")):
        connect(f"sqlite:///{database}").search_experiments()
    assert list(tmp_path.iterdir()) == [database]

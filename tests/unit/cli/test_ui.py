"""``gtrans ui`` and ``gtrans report``: the right record, the right page."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner

from gtrans.cli.main import app
from gtrans_core.errors import ConfigError, TrackingError

CLASSIC = "#/experiments?workflowType=machine_learning"


def test_ui_serves_the_record_of_the_store(tmp_path: Path):
    (tmp_path / "mlflow.db").touch()
    with patch.object(os, "execve") as started:
        result = CliRunner().invoke(app, ["ui", "--store", str(tmp_path), "--port", "5011"])
    assert result.output == f"http://127.0.0.1:5011/{CLASSIC}\n"
    _, command, environment = started.call_args.args
    assert command[1:4] == ["-m", "mlflow", "server"]
    assert f"--backend-store-uri=sqlite:///{tmp_path}/mlflow.db" in command
    assert "--host=127.0.0.1" in command
    assert "--port=5011" in command
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_ui_says_at_once_that_its_port_is_taken(tmp_path: Path):
    (tmp_path / "mlflow.db").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken, patch.object(os, "execve") as started:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(app, ["ui", "--store", str(tmp_path), "--port", str(port)])
    assert isinstance(result.exception, ConfigError)
    assert f"127.0.0.1 port {port}: cannot listen there" in str(result.exception)
    assert result.output == ""
    started.assert_not_called()


def test_ui_of_a_server_is_its_address(tmp_path: Path):
    profile = tmp_path / "plant.toml"
    profile.write_text(f'store = "{tmp_path}"\ntracking_uri = "http://mlflow.plant:5000/"\n')
    with patch.object(os, "execve") as started:
        result = CliRunner().invoke(app, ["ui", "--profile", str(profile)])
    assert result.output == f"http://mlflow.plant:5000/{CLASSIC}\n"
    started.assert_not_called()


def test_ui_makes_no_record(tmp_path: Path):
    result = CliRunner().invoke(app, ["ui", "--store", str(tmp_path)])
    assert isinstance(result.exception, TrackingError)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize("browser", [True, False])
def test_report_is_fetched_named_and_opened(tmp_path: Path, browser: bool):
    with (
        patch("gtrans_core.tracking.client.connect_existing", autospec=True),
        patch("gtrans_core.tracking.registry.origin.report_of", autospec=True) as asked,
        patch("webbrowser.open", return_value=browser) as opened,
    ):
        asked.return_value = b"<html>"
        arguments = ["report", "flange", "--version", "3", "--open", "--store", str(tmp_path)]
        result = CliRunner().invoke(app, arguments)
    path = tmp_path / "reports" / "flange-3.html"
    assert path.read_bytes() == b"<html>"
    assert result.output.splitlines()[0] == str(path)
    opened.assert_called_once_with(path.as_uri())
    assert ("no browser here" in result.output) is not browser

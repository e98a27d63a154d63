"""``gtrans serve``: what stops it before it listens."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans.serving.gate import is_loopback
from gtrans_core.errors import ConfigError, ModelError, TrackingError


def gtrans(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["serve", *arguments])


@pytest.fixture
def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def refused(kind: type[Exception], *arguments: str) -> str:
    with patch("gtrans.serving.server.serve", autospec=True) as served:
        result = gtrans(*arguments)
    assert not served.called
    assert isinstance(result.exception, kind), result.output
    return str(result.exception)


def test_a_port_that_is_taken_is_told_before_a_model_is_loaded(tmp_path: Path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        told = refused(
            ConfigError, "bottle", "--port", str(taken), "--store", str(tmp_path / "no-such")
        )
    assert told.startswith(f"127.0.0.1 port {taken}: cannot listen there (Address already in use")


def test_nothing_to_serve(port: str):
    assert "nothing to serve" in refused(ConfigError, "--port", port)


def test_no_registry(port: str, tmp_path: Path):
    told = refused(TrackingError, "bottle", "--port", port, "--store", str(tmp_path / "typo"))
    assert "typo/mlflow.db" in told


def test_no_detector_in_the_folder(port: str, tmp_path: Path):
    told = refused(ModelError, "--model", str(tmp_path), "--port", port)
    assert str(tmp_path) in told


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "70000"), ("--poll", "0"), ("--queue-size", "0")]
)
def test_values_out_of_range(option: str, value: str):
    assert "Input should be" in refused(ConfigError, "bottle", option, value)


def test_which_addresses_others_reach():
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")  # noqa: S104
    assert not is_loopback("factory.example")


def test_others_are_answered_only_with_a_token_or_when_told_so(
    port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    everywhere = ("--host", "0.0.0.0", "--port", port)  # noqa: S104
    told = refused(ConfigError, "--model", str(tmp_path), *everywhere)
    assert told.startswith("--host 0.0.0.0: other machines can reach it, and there is no token")
    assert "--no-token" in told
    refused(ModelError, "--model", str(tmp_path), *everywhere, "--no-token")
    monkeypatch.setenv("GTRANS_SERVE_TOKEN", "a token of tests")
    refused(ModelError, "--model", str(tmp_path), *everywhere)


@pytest.mark.parametrize("token", ["", "short", "x" * 40 + "\n\x07", "ümläut" * 9])
def test_a_token_that_is_none_is_refused_and_not_shown(
    port: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str
):
    monkeypatch.setenv("GTRANS_SERVE_TOKEN", token)
    told = refused(ConfigError, "--model", str(tmp_path), "--port", port)
    assert told.startswith("GTRANS_SERVE_TOKEN: expected at least 16 printable")
    assert not token or token not in told


@pytest.mark.parametrize(("flag", "counted"), [("--watch", True), ("--no-watch", False)])
def test_scores_are_kept_for_drift_unless_told_otherwise(
    tmp_path: Path, port: str, flag: str, counted: bool
):
    with (
        patch("gtrans.serving.models.Models"),
        patch("gtrans.serving.server.serve"),
        patch("gtrans.serving.app.create_app") as create_app,
        patch("gtrans.cli.serve._sources"),
    ):
        create_app.side_effect = lambda *given: given[2]("nut", 1, "d" * 64, 0.5)
        result = gtrans("nut", flag, "--port", port, "--store", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert bool(list(tmp_path.glob("watch/nut/**/*.json"))) == counted


def started(tmp_path: Path, port: str, *options: str) -> tuple[Result, Any]:
    """The verb's result, and the desk that it gave the service."""
    given: list[Any] = []
    with (
        patch("gtrans.serving.models.Models"),
        patch("gtrans.serving.server.serve"),
        patch("gtrans.serving.app.create_app", side_effect=lambda *all_: given.append(all_[4])),
        patch("gtrans.cli.serve._sources"),
    ):
        result = gtrans("nut", "--port", port, "--store", str(tmp_path), *options)
    return result, given[0] if given else None


def test_no_image_is_kept_unless_asked(tmp_path: Path, port: str):
    assert started(tmp_path, port)[1] is None
    result, desk = started(tmp_path, port, "--feedback")
    assert desk is not None
    assert f"images that people mark are kept in {tmp_path}/feedback" in result.output
    other = tmp_path / "other"
    result, desk = started(tmp_path, port, "--feedback", "--feedback-place", str(other))
    assert f"kept in {other}" in result.output
    told = refused(ConfigError, "nut", "--port", port, "--feedback-place", "x")
    assert told == "--feedback-place: nothing is kept without --feedback; give both"

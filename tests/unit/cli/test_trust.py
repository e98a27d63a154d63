"""``gtrans keys``, ``sign`` and ``release``: what they hand on, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.tracking.promotion.releases import Release
from gtrans_core.trust.keys import SigningKey, make_key_pair

CONNECT = "gtrans_core.tracking.client.connect_existing"


def gtrans(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "160"})


def test_keys_makes_a_pair_and_says_how_to_use_it(tmp_path: Path):
    result = gtrans("keys", str(tmp_path / "k"))
    assert result.exit_code == 0, result.output
    assert f"export GTRANS_SIGNING_KEY={tmp_path}/k/signing-key.pem" in result.output
    assert f'public_key = "{tmp_path}/k/signing-key.pub.pem"' in result.output
    again = gtrans("keys", str(tmp_path / "k"))
    assert isinstance(again.exception, StorageError)


def test_sign_hands_on_the_version_and_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    private, _ = make_key_pair(tmp_path / "keys")
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(private))
    with (
        patch(CONNECT) as connect,
        patch("gtrans_core.tracking.registry.signing.sign_version") as signed,
    ):
        result = gtrans("sign", "bottle", "--version", "3")
    signed.assert_called_once_with(connect.return_value, "bottle", 3, SigningKey(private))
    assert result.output == "gtrans-bottle version 3 is signed\n"


def test_sign_needs_a_key():
    result = gtrans("sign", "bottle", "--version", "3")
    assert isinstance(result.exception, ConfigError)
    assert "GTRANS_SIGNING_KEY names no private key" in str(result.exception)


def test_sign_refuses_a_key_that_is_not_the_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    private, _ = make_key_pair(tmp_path / "keys")
    _, others = make_key_pair(tmp_path / "others")
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(private))
    monkeypatch.setenv("GTRANS_PUBLIC_KEY", str(others))
    with patch(CONNECT), patch("gtrans_core.tracking.registry.signing.sign_version") as signed:
        result = gtrans("sign", "bottle", "--version", "3")
    assert isinstance(result.exception, ConfigError)
    signed.assert_not_called()


@pytest.mark.parametrize(
    ("signed", "key", "state"),
    [
        (False, False, "it is not signed"),
        (True, False, "no public key is named to verify"),
        (True, True, "digests and signature verified"),
    ],
)
def test_release_says_what_was_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signed: bool, key: bool, state: str
):
    if key:
        monkeypatch.setenv("GTRANS_PUBLIC_KEY", "key.pem")
    out = tmp_path / "out"

    def fetched(client, category, version, destination, trust) -> Release:
        assert (category, version, destination) == ("bottle", 2, out)
        destination.mkdir()
        if signed:
            (destination / "model.sig").touch()
        return Release(2, "run1", "release/7", {})

    with patch(CONNECT), patch("gtrans_core.tracking.promotion.releases.fetch_release", fetched):
        result = gtrans("release", "bottle", "--version", "2", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert result.output.startswith(f"gtrans-bottle version 2: {out} (")
    assert state in result.output

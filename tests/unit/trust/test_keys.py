"""Key pairs: made once, never overwritten, checked when they are named."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.trust.keys import SigningKey, make_key_pair, read_public_key


def pem(key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_a_pair_fits_and_the_private_half_is_the_owners_alone(tmp_path, monkeypatch):
    private, public = make_key_pair(tmp_path / "keys")
    assert private.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(private))
    key = SigningKey.from_environment()
    assert key is not None
    assert key.public_pem() == read_public_key(public)


def test_a_folder_that_is_there_is_left_alone(tmp_path):
    with pytest.raises(StorageError, match=r"no new folder for keys \(File exists\)"):
        make_key_pair(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_password_protects_the_key_and_is_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("GTRANS_SIGNING_KEY_PASSWORD", "CANARY")
    private, _ = make_key_pair(tmp_path / "keys")
    assert b"ENCRYPTED" in private.read_bytes()
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(private))
    key = SigningKey.from_environment()
    assert key is not None
    assert "CANARY" not in repr(key)
    for wrong in ("CANARY2", ""):
        monkeypatch.setenv("GTRANS_SIGNING_KEY_PASSWORD", wrong)
        with pytest.raises(ConfigError, match=r"signing-key\.pem: not a private key in PEM that"):
            SigningKey.from_environment()


def test_no_key_named_is_no_key(monkeypatch):
    monkeypatch.setenv("GTRANS_SIGNING_KEY", "")
    assert SigningKey.from_environment() is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "signing key cannot be read"),
        (b"", "not a private key in PEM"),
        (b"ssh-ed25519 AAAA", "not a private key in PEM"),
        (pem(rsa.generate_private_key(65537, 2048)), "expected a key on the curve secp256r1"),
        (pem(ec.generate_private_key(ec.SECP256K1())), "expected a key on the curve secp256r1"),
    ],
)
def test_anything_else_is_refused(tmp_path, monkeypatch, content, message):
    path = tmp_path / "key.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(path))
    with pytest.raises(ConfigError, match=rf"key\.pem: {message}"):
        SigningKey.from_environment()


def test_a_private_key_is_no_public_key(tmp_path):
    private, _ = make_key_pair(tmp_path / "keys")
    with pytest.raises(ConfigError, match="not a public key in PEM"):
        read_public_key(private)

"""Signed statements: read only when the right key signed them, and nothing is parsed before."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gtrans_core.errors import ModelError
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.signature import SIGNATURE_NAME, sign_folder
from gtrans_core.trust.statement import read_statement, sign_statement, signed_digests, statement

SAID = statement("urn:test", {"b": "1" * 64, "a": "0" * 64}, {"who": "ada", "why": None})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[SigningKey, Path]:
    private, public = make_key_pair(tmp_path / "keys")
    return SigningKey(private), public


def test_what_was_said_is_read_again(pair):
    key, public = pair
    assert read_statement(sign_statement(SAID, key), public, "it") == SAID
    assert sign_statement(SAID, key) == sign_statement(SAID, key)
    assert [subject["name"] for subject in SAID["subject"]] == ["a", "b"]


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_every_curve_that_a_key_may_be_on(tmp_path: Path, curve: ec.EllipticCurve):
    private = ec.generate_private_key(curve)
    (tmp_path / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key = SigningKey(tmp_path / "key.pem")
    (tmp_path / "key.pub.pem").write_bytes(key.public_pem())
    assert read_statement(sign_statement(SAID, key), tmp_path / "key.pub.pem", "it") == SAID


def changed(envelope: str, **values: object) -> str:
    return json.dumps(json.loads(envelope) | values)


@pytest.mark.parametrize(
    "damage",
    [
        lambda e: changed(e, payload=base64.b64encode(b"{}").decode()),
        lambda e: changed(e, payloadType="text/plain"),
        lambda e: changed(e, signatures=[]),
        lambda e: changed(e, signatures=[{"sig": "AAAA"}]),
        lambda e: changed(e, signatures=7),
        lambda e: changed(e, payload="not base64!"),
        lambda e: "[" * 100_000,
        lambda e: "[]",
        lambda e: "NaN",
        lambda e: "",
    ],
)
def test_what_was_changed_is_refused_in_one_line(pair, damage):
    key, public = pair
    with pytest.raises(ModelError, match=r"^it: ") as refused:
        read_statement(damage(sign_statement(SAID, key)), public, "it")
    assert "\n" not in str(refused.value)


def test_another_key_is_refused(pair, tmp_path: Path):
    _, others = make_key_pair(tmp_path / "others")
    with pytest.raises(ModelError, match="signed with another key than"):
        read_statement(sign_statement(SAID, pair[0]), others, "it")


def test_what_is_signed_but_no_statement_is_refused(pair):
    key, public = pair
    with pytest.raises(ModelError, match="no in-toto statement"):
        read_statement(sign_statement({"predicate": 1}, key), public, "it")


class TestModelSignatures:
    """The library that signs models writes the same envelope."""

    @pytest.fixture
    def folder(self, pair, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        (folder / "code").mkdir(parents=True)
        (folder / "a.json").write_text("{}")
        (folder / "code/b.py").touch()
        sign_folder(folder, pair[0])
        return folder

    def test_digests_are_known_without_the_files(self, pair, folder: Path):
        signature = (folder / SIGNATURE_NAME).read_bytes()
        assert signed_digests(signature, pair[1], "it") == {
            "a.json": hashlib.sha256(b"{}").hexdigest(),
            "code/b.py": hashlib.sha256(b"").hexdigest(),
        }

    def test_a_statement_is_no_signature_of_a_model(self, pair):
        envelope = json.loads(sign_statement(SAID, pair[0]))
        with pytest.raises(ModelError, match="no signature of a model"):
            signed_digests(json.dumps({"dsseEnvelope": envelope}).encode(), pair[1], "it")
        with pytest.raises(ModelError, match="no signature of a model"):
            signed_digests(b"{}", pair[1], "it")

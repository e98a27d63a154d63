"""Signed statements (in-toto in a DSSE envelope): somebody's word on what has which digest.

A model's signature is one as well; here one can be written and read without the files it is about.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gtrans_core.errors import ModelError
from gtrans_core.storage.documents import OddDocumentError, parse_json
from gtrans_core.trust.keys import SigningKey, is_signature

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_MODEL_SIGNATURE = "https://model_signing/signature/v1.0"


def statement(
    predicate_type: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]
) -> dict[str, Any]:
    """An in-toto statement.

    Args:
        predicate_type: URI of the kind of predicate.
        subjects: sha256 (hex) of what it is about, by name.
        predicate: what is stated.
    """
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest}}
            for name, digest in sorted(subjects.items())
        ],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }


def sign_statement(said: Mapping[str, Any], key: SigningKey) -> str:
    """A statement in a signed envelope, as JSON.

    Raises:
        ConfigError: when the key cannot be read.
    """
    payload = json.dumps(said, sort_keys=True).encode()
    signature = key.sign(_signed_bytes(payload))
    return json.dumps(
        {
            "payloadType": PAYLOAD_TYPE,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"sig": base64.b64encode(signature).decode()}],
        }
    )


def read_statement(envelope: str | bytes, public_key: Path, name: str) -> dict[str, Any]:
    """The statement in an envelope, if the holder of the key signed it; not parsed before.

    Args:
        envelope: DSSE, as JSON.
        public_key: PEM file.
        name: what an error calls it.

    Raises:
        ConfigError: when the public key cannot be read.
        ModelError: when it is damaged, or not signed with that key.
    """
    return _opened(_json(envelope, name), public_key, name)


def signed_digests(signature: bytes, public_key: Path, name: str) -> dict[str, str]:
    """sha256 (hex) of every file that a model's signature covers, by relative path.

    Args:
        signature: what ``sign_folder`` wrote.
        public_key: PEM file.
        name: what an error calls it.

    Raises:
        ConfigError: when the public key cannot be read.
        ModelError: when it is damaged, or not signed with that key.
    """
    bundle = _json(signature, name)
    try:
        envelope = bundle["dsseEnvelope"]
    except (LookupError, TypeError):
        raise ModelError(f"{name}: is no signature of a model") from None
    said = _opened(envelope, public_key, name)
    try:
        if said["predicateType"] != _MODEL_SIGNATURE:
            raise ModelError(f"{name}: is a statement, but no signature of a model")
        return {str(file["name"]): str(file["digest"]) for file in said["predicate"]["resources"]}
    except (LookupError, TypeError, AttributeError):
        raise ModelError(f"{name}: names no files") from None


def _opened(envelope: Any, public_key: Path, name: str) -> dict[str, Any]:
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(one["sig"], validate=True) for one in envelope["signatures"]]
        right_type = envelope["payloadType"] == PAYLOAD_TYPE
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ModelError(f"{name}: is no signed statement") from None
    signed = _signed_bytes(payload)
    if not right_type or not any(is_signature(one, signed, public_key) for one in signatures):
        raise ModelError(f"{name}: was changed, or signed with another key than {public_key}")
    said = _json(payload, name)
    if not isinstance(said, dict) or said.get("_type") != STATEMENT_TYPE:
        raise ModelError(f"{name}: is no in-toto statement")
    return said


def _signed_bytes(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _json(text: str | bytes, name: str) -> Any:
    try:
        return parse_json(text)
    except OddDocumentError as wrong:
        raise ModelError(f"{name}: is damaged ({wrong})") from None

"""What S3 and we know of an object's bytes, compared as they come."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gtrans_core.storage.retry import TransientError

SHA256_NOTE = "gtrans-sha256"
"""Name of the metadata that has an object's sha256."""
_MD5 = re.compile(r"[0-9a-f]{32}")


def checked(answer: Mapping[str, Any], chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks, counted and digested as they pass.

    Raises:
        TransientError: at the end, when they are not what the answer's headers promise.
    """
    promised = [(md5(), plain_md5(answer)), (hashlib.sha256(), noted_sha256(answer))]
    promised = [(digest, expected) for digest, expected in promised if expected]
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > answer["ContentLength"]:  # in chunks without end
            break
        for digest, _ in promised:
            digest.update(chunk)
        yield chunk
    if size != answer["ContentLength"]:
        raise TransientError(f"{size:,} of {answer['ContentLength']:,} bytes came")
    for digest, expected in promised:
        if digest.hexdigest() != expected:
            raise TransientError(f"the bytes that came do not match the object's {digest.name}")


def noted_sha256(answer: Mapping[str, Any]) -> str | None:
    """The sha256 that ``write`` has noted: also of an object in parts, where S3 keeps no digest."""
    note: str | None = answer.get("Metadata", {}).get(SHA256_NOTE)
    return note


def plain_md5(answer: Mapping[str, Any]) -> str | None:
    """An object's MD5, where its ETag is that (not for multipart or KMS-encrypted objects)."""
    etag = str(answer.get("ETag", "")).strip('"')
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256"
    if encrypted or "SSECustomerAlgorithm" in answer or not _MD5.fullmatch(etag):
        return None
    return etag


def md5(data: bytes = b"") -> hashlib._Hash:
    """Not for security: it is what S3 compares with."""
    return hashlib.md5(data, usedforsecurity=False)

"""Files of facts (JSON) with a checksum at their end, so that a flipped bit is noticed when read.

It keeps out accidents, not people. What has no checksum was written by an earlier version, or by
hand, and is read as it is.
"""

from __future__ import annotations

import re
import zlib

_SEAL = re.compile(rb',\s*"check":\s*"([0-9a-f]{8})"\s*\}\s*\Z')
_LENGTH = 100
"""Bytes at the end, more than a seal has."""


class SealError(ValueError):
    """A text that was changed since it was sealed."""


def sealed(text: str) -> bytes:
    """A JSON object's text with ``check``, the crc32 (hex) of all else, as its last key."""
    data = text.rstrip().removesuffix("}").rstrip().encode()
    return data + b',"check":"%08x"}' % zlib.crc32(data + b"}")


def unsealed(data: bytes) -> bytes:
    """A JSON object's text without ``check``.

    Raises:
        SealError: when the text was changed since it was sealed.
    """
    start = max(len(data) - _LENGTH, 0)
    seal = _SEAL.search(data[start:])
    if seal is None:
        return data
    text = data[: start + seal.start()] + b"}"
    if int(seal[1], 16) != zlib.crc32(text):
        raise SealError("it was changed since it was written")
    return text

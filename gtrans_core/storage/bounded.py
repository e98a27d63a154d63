"""An answer of a server, read whole within limits: else one without end could fill the memory."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import Any

from gtrans_core.storage import timed
from gtrans_core.storage.documents import TEXT_LIMIT

_PIECE = 1 << 16


class AnswerTooLargeError(Exception):
    """An answer of more bytes than any that is expected, once it is unpacked."""


def read_answer(answer: Any) -> bytes:
    """The body of an answer of which only the headers were read, unpacked.

    Args:
        answer: urllib3's.

    Raises:
        AnswerTooLargeError: when it is too large.
        TimeoutError: when it takes too long.
    """
    try:
        data = _moderate(lambda: answer.read1(_PIECE, decode_content=False))
    except (AnswerTooLargeError, TimeoutError):
        answer.close()
        raise
    if not data or not answer.headers.get("Content-Encoding"):
        return data
    from urllib3 import HTTPResponse

    # Apart from the network: what unpacks to nothing could come without end.
    packed = HTTPResponse(io.BytesIO(data), answer.headers, preload_content=False)
    return _moderate(lambda: packed.read1(_PIECE, decode_content=True))


def _moderate(read: Callable[[], bytes]) -> bytes:
    """What is read until nothing more comes."""
    end, pieces, size = time.monotonic() + timed.SECONDS, [], 0
    while piece := read():
        pieces.append(piece)
        size += len(piece)
        if size > TEXT_LIMIT:
            raise AnswerTooLargeError(f"more than {TEXT_LIMIT:,} bytes")
        if time.monotonic() > end:
            raise TimeoutError(f"no whole answer in {timed.SECONDS:g} s")
    return b"".join(pieces)

"""An answer of a server, read whole within limits: else one without end could fill the memory."""

from __future__ import annotations

import time
from typing import Any

from gtrans_core.storage.documents import TEXT_LIMIT

_SECONDS = 120.0
"""For an answer, from its headers on; a page of a thousand versions takes one."""
_PIECE = 1 << 16


class AnswerTooLargeError(Exception):
    """An answer of more bytes than any that is expected, once it is unpacked."""


def read_answer(answer: Any) -> bytes:
    """The body of an answer of which only the headers were read.

    Args:
        answer: urllib3's.

    Raises:
        AnswerTooLargeError: when it is too large.
        TimeoutError: when it takes too long.
    """
    end, pieces, size = time.monotonic() + _SECONDS, [], 0
    while piece := answer.read1(_PIECE, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > TEXT_LIMIT:
            answer.close()
            raise AnswerTooLargeError(f"more than {TEXT_LIMIT:,} bytes")
        if time.monotonic() > end:
            answer.close()
            raise TimeoutError(f"no whole answer in {_SECONDS:g} s")
    return b"".join(pieces)

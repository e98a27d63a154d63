"""What an MLflow server answers is read within limits: else one could fill the memory.

MLflow reads an answer whole, whatever its size, and its timeout starts anew with each byte.
"""

from __future__ import annotations

import time
from typing import Any

from gtrans_core.storage.documents import TEXT_LIMIT

_SECONDS = 120.0
"""For an answer, from its headers on; a page of a thousand versions takes one."""
_PIECE = 1 << 16
_ADAPTER = "TCPKeepAliveHTTPAdapter"


class AnswerTooLargeError(Exception):
    """An answer of more bytes than any of MLflow's has, once it is unpacked."""


def bound_answers() -> None:
    """Have MLflow's client, which is imported, read no answer beyond the limits.

    Files are not meant: they are read in pieces, onto a disk.
    """
    from mlflow.utils import request_utils

    usual: Any = getattr(request_utils, _ADAPTER)
    if hasattr(usual, "is_bounded"):
        return

    class Bounded(usual):  # type: ignore[misc]
        """MLflow's own, within limits."""

        is_bounded = True

        def send(self, request: Any, stream: bool = False, **rest: Any) -> Any:
            answer = super().send(request, stream=stream, **rest)
            if not stream:
                _read(answer)
            return answer

    setattr(request_utils, _ADAPTER, Bounded)


def _read(answer: Any) -> None:
    """Read the body, as ``requests`` would do next.

    Raises:
        AnswerTooLargeError: when it is too large.
        TimeoutError: when it takes too long.
    """
    end, pieces, size = time.monotonic() + _SECONDS, [], 0
    while piece := answer.raw.read1(_PIECE, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > TEXT_LIMIT:
            answer.close()
            raise AnswerTooLargeError(f"more than {TEXT_LIMIT:,} bytes")
        if time.monotonic() > end:
            answer.close()
            raise TimeoutError(f"no whole answer in {_SECONDS:g} s")
    answer._content, answer._content_consumed = b"".join(pieces), True

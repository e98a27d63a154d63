"""What an MLflow server answers is read within limits.

MLflow reads an answer whole, whatever its size, and its timeout starts anew with each byte.
"""

from __future__ import annotations

from typing import Any

from gtrans_core.storage.bounded import read_answer

_ADAPTER = "TCPKeepAliveHTTPAdapter"


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
            if not stream:  # as requests would do next
                answer._content, answer._content_consumed = read_answer(answer.raw), True
            return answer

    setattr(request_utils, _ADAPTER, Bounded)

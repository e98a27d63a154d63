"""What an MLflow server answers is read within limits.

MLflow reads an answer whole, whatever its size, and its timeout starts anew with each byte. What
it asks of S3 is bounded in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from gtrans_core.storage.bounded import AnswerTooLargeError, read_answer
from gtrans_core.storage.timed import give_deadlines

_ADAPTER = "TCPKeepAliveHTTPAdapter"
LARGEST = 1 << 30
"""Bytes of a file, unless ``files_of_at_most`` says otherwise: reports and tables take millions."""
_most: ContextVar[int | None] = ContextVar("most", default=None)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have a file that comes within end with an AnswerTooLargeError beyond so many bytes."""
    before = _most.set(size)
    try:
        yield
    finally:
        _most.reset(before)


def bound_answers() -> None:
    """Have MLflow's client, which is imported, read no answer beyond the limits.

    Files are read in pieces, onto a disk: they may be larger, and have a minimum rate.
    """
    from mlflow.store.artifact import s3_artifact_repo
    from mlflow.utils import request_utils

    usual: Any = getattr(request_utils, _ADAPTER)
    if hasattr(usual, "is_bounded"):
        return

    class Bounded(usual):  # type: ignore[misc]
        """MLflow's own, within limits."""

        is_bounded = True

        def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
            super().init_poolmanager(*arguments, **options)
            give_deadlines(self.poolmanager)

        def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
            manager = super().proxy_manager_for(*arguments, **options)
            give_deadlines(manager)
            return manager

        def send(self, request: Any, stream: bool = False, **rest: Any) -> Any:
            answer = super().send(request, stream=stream, **rest)
            if not stream:  # as requests would do next
                answer._content, answer._content_consumed = read_answer(answer.raw), True
            else:
                most = _most.get()
                most = LARGEST if most is None else most
                answer.raw.stream = partial(_streamed, answer.raw.stream, most)
            return answer

    setattr(request_utils, _ADAPTER, Bounded)
    make_client: Any = s3_artifact_repo._get_s3_client

    def careful_client(*arguments: Any, **options: Any) -> Any:
        # Imported on use: boto3 takes half a second.
        from gtrans_core.storage.s3_client import careful

        return careful(make_client(*arguments, **options))

    setattr(s3_artifact_repo, "_get_s3_client", careful_client)  # noqa: B010


def _streamed(
    stream: Callable[..., Iterator[bytes]], most: int, *arguments: Any, **options: Any
) -> Iterator[bytes]:
    size = 0
    for piece in stream(*arguments, **options):
        size += len(piece)
        if size > most:
            raise AnswerTooLargeError(f"more than {most:,} bytes")
        yield piece

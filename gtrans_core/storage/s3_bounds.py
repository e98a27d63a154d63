"""Limits to what an S3 endpoint answers: the bytes of an answer, the names of a listing, the time.

boto3 has none: a listing, or an error, without end would fill the memory.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from urllib3.exceptions import DecodeError, HTTPError
from urllib3.exceptions import ReadTimeoutError as NoBytesInTimeError

from gtrans_core.storage import timed
from gtrans_core.storage.bounded import AnswerTooLargeError, read_answer

MOST_NAMES = 2_000_000
"""In one listing."""
_NAMES_A_SECOND = 100
"""At least, of a listing that takes longer than an answer may."""


def bound_answers(client: Any) -> bool:
    """Have a client of boto3's read no answer and no listing beyond the limits.

    An object's content has its announced length, and a minimum rate.

    Returns:
        Whether this was done now: a client is bounded once.
    """
    session = client._endpoint.http_session
    if "send" in vars(session):
        return False
    timed.give_deadlines(session._manager)
    session._pool_classes_by_scheme = session._manager.pool_classes_by_scheme  # a proxy's
    session.send = partial(_send, session.send)
    listing, events = _Listing(), client.meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", listing.asked)
    events.register("after-call.s3.ListObjectsV2", listing.answered)
    return True


def _send(unbounded: Callable[[Any], Any], request: Any) -> Any:
    """The answer to a request, read within limits unless it is an object's content."""
    has_content, request.stream_output = request.stream_output, True  # not to be read yet
    answer = unbounded(request)
    if has_content and answer.status_code < 300:
        return answer
    try:
        answer._content = read_answer(answer.raw)
    except (TimeoutError, NoBytesInTimeError) as error:
        raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
    except DecodeError:
        raise
    except HTTPError as error:
        raise ConnectionClosedError(endpoint_url=request.url, error=error) from None
    return answer


class _Listing(threading.local):
    """What a thread's listing has brought so far, all pages together."""

    since = 0.0
    names = 0

    def asked(self, params: Mapping[str, Any], **_: Any) -> None:
        """A page is asked for; the first one has no token."""
        if "ContinuationToken" not in params:
            self.since, self.names = time.monotonic(), 0

    def answered(self, parsed: Mapping[str, Any], **_: Any) -> None:
        """A page has come."""
        self.names += len(parsed.get("Contents", ())) + len(parsed.get("CommonPrefixes", ()))
        if self.names > MOST_NAMES:
            raise AnswerTooLargeError(f"more than {MOST_NAMES:,} names")
        if time.monotonic() > self.since + timed.SECONDS + self.names / _NAMES_A_SECOND:
            raise ReadTimeoutError(endpoint_url="", error="a listing that takes too long")

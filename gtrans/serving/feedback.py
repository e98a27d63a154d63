"""What people say of images on the page: kept with the image, within limits."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import deque
from typing import Any

from starlette.exceptions import HTTPException

from gtrans.serving.models import ServedModel
from gtrans.serving.worker import EncodedImage, Scored
from gtrans_core.errors import GTransError
from gtrans_core.watch.feedback import LOOK_AGAIN, FeedbackBook, Statement, checked_truth, now

_LOG = logging.getLogger(__name__)
LONGEST_WHO = 64
"""Characters of a name."""
_MINUTE = 60.0


class FeedbackDesk:
    """Takes statements, so many a minute, as long as there is room.

    Args:
        place: a folder or ``s3://bucket/prefix``.
        most_bytes: of all that is kept there; beyond it nothing more is taken.
        a_minute: statements that are taken in any minute.
    """

    def __init__(self, place: str, most_bytes: int, a_minute: int) -> None:
        self._place, self._most_bytes, self._a_minute = place, most_bytes, a_minute
        self._book = FeedbackBook(place)
        self._one_by_one = threading.Lock()
        self._taken: deque[float] = deque()
        self._kept_bytes, self._counted_at = 0, -LOOK_AGAIN

    def admit(self) -> None:
        """Count a statement that is about to be made.

        Raises:
            HTTPException: 429, when there were too many in the last minute.
        """
        moment = time.monotonic()
        while self._taken and self._taken[0] <= moment - _MINUTE:
            self._taken.popleft()
        if len(self._taken) >= self._a_minute:
            wait = max(1, round(self._taken[0] + _MINUTE - moment))
            reason = f"more than {self._a_minute} marks in a minute: go on in {wait} s"
            raise HTTPException(429, reason, {"Retry-After": str(wait)})
        self._taken.append(moment)

    def keep(
        self, model: ServedModel, image: EncodedImage, scored: Scored, truth: str, who: str
    ) -> dict[str, Any]:
        """Keep what somebody says of an image that was just scored; blocks.

        Returns:
            Whether it is new, and what was said by whom of what.

        Raises:
            HTTPException: 507 when there is no room; 500 when the place cannot be used.
        """
        statement = Statement(
            category=model.category,
            version=model.version or None,
            digest=model.digest,
            score=scored.verdict.score,
            threshold=model.detector.info.threshold,
            truth=truth,
            name=image.name,
            image_sha256=hashlib.sha256(image.data).hexdigest(),
            who=who,
            said_at=now(),
        )
        try:
            with self._one_by_one:
                self._require_room(len(image.data))
                kept = self._book.add(statement, image.data)
                self._kept_bytes += len(image.data) + len(statement.model_dump_json())
        except GTransError as error:
            _LOG.warning("feedback on %s was not kept: %s", model.category, error)
            raise HTTPException(500, f"{image.name}: not kept ({error})") from None
        return {
            "image": image.name,
            "image_sha256": statement.image_sha256,
            "truth": truth,
            "kept": kept,
            "model_was_right": not statement.corrects,
        }

    def _require_room(self, size: int) -> None:
        """Counts what is kept each minute, and before a refusal: room may have been made."""
        is_old = time.monotonic() >= self._counted_at + LOOK_AGAIN
        if is_old or self._kept_bytes + size > self._most_bytes:
            self._kept_bytes, self._counted_at = self._book.bytes_kept(), time.monotonic()
        if self._kept_bytes + size > self._most_bytes:
            raise HTTPException(
                507,
                f"{self._kept_bytes:,} bytes of feedback are kept, at most {self._most_bytes:,}: "
                "export them (gtrans feedback --to), make room, or raise --feedback-bytes",
            )


def require_truth(text: str) -> str:
    """``good``, or the kind of defect.

    Raises:
        HTTPException: 400, for anything else.
    """
    try:
        return checked_truth(text)
    except ValueError as error:
        raise HTTPException(400, f"truth {error}") from None

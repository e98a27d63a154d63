"""What people say of images that a model judged, kept with the image: ``feedback/CATEGORY/``.

An image is kept only when somebody says what it shows. Nothing is overwritten: a change of
mind is one more statement, and the last one on an image counts. The place is a folder or on S3.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, ValidationError

from gtrans_core.data.kinds import FEEDBACK_PREFIX, is_good_name, kind_problem
from gtrans_core.data.manifest import GOOD
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import checked_name, open_store
from gtrans_core.storage.documents import TEXT_LIMIT, Facts, describe_validation
from gtrans_core.storage.sealed import SealError, sealed, unsealed

_FOLDER = "feedback"
"""Below the store."""
LOOK_AGAIN = 60.0
"""Seconds after which what others may have written is looked for again: a listing takes longer the
more is kept, so nobody lists for each image."""


def default_place(store: str | Path) -> str:
    """Where feedback is kept unless somebody says otherwise: below the store."""
    return str(Path(store) / _FOLDER)


def checked_truth(text: str) -> str:
    """``good`` for any word for good parts, or the name of a kind of defect: a folder's name.

    Raises:
        ValueError: for anything else.
    """
    if is_good_name(text):
        return GOOD
    problem = kind_problem(text)
    if not problem and (text.startswith((".", " ")) or text.endswith((".", " "))):
        problem = "it may neither begin nor end with a dot or a space"
    if problem:
        raise ValueError(f"'{text}': expected good, or the name of a kind of defect ({problem})")
    return text


class Statement(Facts):
    """One file below ``said/``: what somebody says of an image, and what a model said."""

    schema_version: Literal[1] = 1
    category: str
    version: int | None
    """Of the model; None: a detector's folder."""
    digest: str
    """sha256 (hex) of the model's ``detector.json``."""
    score: float
    threshold: float
    truth: Annotated[str, AfterValidator(checked_truth)]
    """``good``, or the kind of defect that the image shows."""
    name: str
    """What the image was called."""
    image_sha256: str
    who: str = ""
    said_at: AwareDatetime

    @property
    def flagged(self) -> bool:
        """What the model said."""
        return self.score > self.threshold

    @property
    def corrects(self) -> bool:
        """Whether the model was wrong."""
        return self.flagged == (self.truth == GOOD)

    @property
    def file_name(self) -> str:
        """The image's name in an export."""
        return f"{FEEDBACK_PREFIX}{self.image_sha256[:12]}{_suffix(self.name)}"


class FeedbackBook:
    """All statements below one place.

    Args:
        place: a folder or ``s3://bucket/prefix``.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._store = open_store(place)
        self._known: dict[str, Statement] = {}
        """By file: one that is there never changes."""
        self._last_words: dict[str, tuple[float, dict[str, Statement]]] = {}
        """By category: when it was listed, and ``latest`` of then, kept up by ``add``."""

    def add(self, statement: Statement, image: bytes) -> bool:
        """Keep a statement and its image.

        Returns:
            False where the last statement on this image says the same of the same model, as far as
            was known within the last minute.

        Raises:
            StorageError: when the place cannot be written.
            DataError: when the image is not the one that the statement is about.
        """
        if hashlib.sha256(image).hexdigest() != statement.image_sha256:
            raise DataError(f"{statement.name}: changed since it was scored; score it again")
        last_words = self._remembered(statement.category)
        before = last_words.get(statement.image_sha256)
        if before and (before.truth, before.digest) == (statement.truth, statement.digest):
            return False
        folder = checked_name(statement.category)
        self._store.write(f"{folder}/{_image_name(statement)}", image, overwrite=False)
        when = f"{statement.said_at.astimezone(UTC):%Y%m%dT%H%M%S%f}"
        name = f"{folder}/said/{when}-{secrets.token_hex(4)}.json"
        if not self._store.write(name, sealed(statement.model_dump_json()), overwrite=False):
            raise StorageError(f"{self._place}/{name}: is there already; say it again")
        if before is None or before.said_at <= statement.said_at:
            last_words[statement.image_sha256] = statement
        return True

    def read(self, category: str) -> list[Statement]:
        """Every statement on a category, the oldest first.

        Raises:
            StorageError: naming a file that is damaged or cannot be read.
        """
        entries = self._store.list(f"{checked_name(category)}/said/")
        found = [self._statement(one.name) for one in entries if one.name.endswith(".json")]
        return sorted(found, key=lambda one: one.said_at)

    def latest(self, category: str) -> dict[str, Statement]:
        """The statement that counts for each image, by the image's sha256."""
        return {one.image_sha256: one for one in self.read(category)}

    def bytes_kept(self) -> int:
        """Size of all images and statements, of every category.

        Raises:
            StorageError: when the place cannot be read.
        """
        return sum(entry.size for entry in self._store.list())

    def image(self, statement: Statement) -> bytes:
        """The image of a statement, as it was scored.

        Raises:
            StorageError: when it is gone or was changed.
        """
        name = f"{checked_name(statement.category)}/{_image_name(statement)}"
        data = self._store.read(name)
        if hashlib.sha256(data).hexdigest() != statement.image_sha256:
            raise StorageError(f"{self._place}/{name}: was changed; remove it")
        return data

    def _remembered(self, category: str) -> dict[str, Statement]:
        listed_at, found = self._last_words.get(category, (-LOOK_AGAIN, {}))
        if time.monotonic() >= listed_at + LOOK_AGAIN:
            found = self.latest(category)
            self._last_words[category] = time.monotonic(), found
        return found

    def _statement(self, name: str) -> Statement:
        if name in self._known:
            return self._known[name]
        try:
            found = Statement.model_validate_json(unsealed(self._store.read(name, TEXT_LIMIT)))
        except (SealError, ValidationError) as error:
            reason = str(error) if isinstance(error, SealError) else describe_validation(error)
            raise StorageError(
                f"{self._place}/{name}: not a statement of feedback, so remove it ({reason})"
            ) from None
        self._known[name] = found
        return found


def now() -> datetime:
    """The time of a statement that is made now."""
    return datetime.now(UTC)


def _image_name(statement: Statement) -> str:
    return f"images/{checked_name(statement.image_sha256)}{_suffix(statement.name)}"


def _suffix(name: str) -> str:
    suffix = PurePosixPath(name).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,5}", suffix) else ".png"

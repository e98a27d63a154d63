"""What a kind of defect may be called, and which words stand for good parts."""

from __future__ import annotations

import re
import unicodedata

FEEDBACK_PREFIX = "feedback-"
"""Begins the name of an image that people marked: a defect of theirs may lack a mask."""

_KIND = re.compile(r"[\w .-]+")
_LONGEST, _LONGEST_BYTES = 100, 200
"""MLflow takes 250 characters of a metric's name, a file system 255 bytes of a file's."""
_GOOD_WORD = re.compile(
    r"(good|okay|ok|pass|passed|normal|accepted|undamaged|io|gut"
    r"|(non?|without)?(defect(ive|s)?)free|non?defect(ive|s)?)"
    r"(part|product|sample|image|piece)?s?\d*"
)


def is_good_name(name: str) -> bool:
    """Whether this names good parts: ``good``, ``OK``, ``Pass``, ``good_2``."""
    return _GOOD_WORD.fullmatch(bare_word(name)) is not None


def kind_problem(name: str) -> str:
    """Why no kind of defect may be called so; empty where one may."""
    if not _KIND.fullmatch(name):
        expected = "only letters, digits, '_', '-', '.' and spaces"
    elif len(name) > _LONGEST or len(name.encode()) > _LONGEST_BYTES:
        expected = f"at most {_LONGEST} characters ({_LONGEST_BYTES} bytes)"
    else:
        return ""
    return f"a kind of defect becomes the name of a metric, so {expected}"


def bare_word(name: str) -> str:
    """A name without case, separators and styles of letters."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).casefold())

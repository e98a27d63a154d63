"""Text from outside, such as a file's name, made fit for a terminal and a log; numbers as text."""

from __future__ import annotations

import os
import unicodedata


def printable(text: str) -> str:
    """The text without a character that a terminal obeys or hides: those become ``\\x1b``.

    Bytes of a name that are not UTF-8 (as Python reads names) become ``\\xdf``. Spaces of every
    width stay: a Mac puts a narrow one into the name of a screenshot.
    """
    return text if text.isprintable() else "".join(map(_shown, text))


def printable_lines(text: str) -> str:
    """As ``printable``, for text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def score_text(value: float) -> str:
    """A score or a threshold as everything shows it: four significant digits, such as ``1.062``."""
    return f"{value:.4g}"


def cut_to_bytes(name: str, most: int) -> str:
    """The beginning of a file's name that takes at most so many bytes."""
    data = os.fsencode(name)
    return name if len(data) <= most else data[:most].decode(errors="ignore")


def every(count: int) -> str:
    """``Both``, or ``All 5``."""
    return "Both" if count == 2 else f"All {count}"


def _shown(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as os.fsdecode keeps it
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")

"""Completion in bash, which splits words at ``@``, ``:`` and ``=`` and completes the last piece."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from typer._completion_classes import BashComplete

if TYPE_CHECKING:
    from typer._click.shell_completion import CompletionItem

_BREAKS = ":=@"


class WholeWords(BashComplete):
    """Completes what was typed as a whole, and hands bash the rest of its last piece."""

    _known = 0
    """Characters of the word that bash takes for words of their own."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that one."""
        before, piece = super().get_completion_args()
        *words, word = rejoined([*before, piece])
        if word.startswith("-") and "=" in word:
            option, _, word = word.partition("=")
            words.append(option)
        self._known = len(word) - (0 if _is_break(piece) else len(piece))
        return words, word

    def format_completion(self, item: CompletionItem) -> str:
        """A completion, as what is to be put in the place of the last piece."""
        return super().format_completion(item)[self._known :]


def rejoined(pieces: Iterable[str]) -> list[str]:
    """The words that bash made these pieces of."""
    words: list[str] = []
    goes_on = False
    for piece in pieces:
        if words and (goes_on or _is_break(piece)):
            words[-1] += piece
        else:
            words.append(piece)
        goes_on = _is_break(piece)
    return words


def _is_break(piece: str) -> bool:
    return bool(piece) and not piece.strip(_BREAKS)

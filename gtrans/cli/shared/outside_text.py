"""Text that others wrote, such as a tag in MLflow or a run's name, in tables of the terminal."""

from __future__ import annotations

from rich.markup import escape

from gtrans_core.system.text import printable


def cell(text: str) -> str:
    """A table's cell: nothing in it is obeyed, neither by the terminal nor by rich's markup."""
    return escape(printable(text))

"""Tables for spreadsheets, which compute any cell that begins like a formula."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# The wide ones, such as U+FF1D, are what an East Asian keyboard gives.
_SIGNS = r"[=+\-@\t\r\n\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}]"
_BEGINS_A_FORMULA = rf"^({_SIGNS})"  # RE2's
_MARKED = re.compile(r"'(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])")


def without_formulas(table: pa.Table) -> pa.Table:
    """The table with an apostrophe before each text that a spreadsheet would compute."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            marked = pc.replace_substring_regex(
                table.column(place), pattern=_BEGINS_A_FORMULA, replacement=r"'\1"
            )
            table = table.set_column(place, field, marked)
    return table


def as_it_was(cell: str) -> str:
    """A text of such a table without the apostrophe."""
    return _MARKED.sub("", cell, count=1) if _MARKED.match(cell) else cell

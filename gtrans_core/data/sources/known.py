"""The sources with a name of their own. The command line reads it at start: no costly imports."""

from __future__ import annotations

import re
from collections.abc import Callable

from gtrans_core.errors import DataError
from gtrans_core.system.text import printable

KNOWN_SOURCES = ("mvtec", "mvtec_ad_2", "mvtec_loco", "visa", "btad", "mpdd", "elpv", "demo")
EXPECTED = f"expected a folder, s3://bucket/prefix, or one of {', '.join(KNOWN_SOURCES)}"

Say = Callable[[str], None]
"""Called with a line a person wants to read."""
OnProgress = Callable[[str, int, int], None]
"""Called with a unit, how many are done, and how many there are (0: not known)."""

_CATEGORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def require_category_name(name: str) -> None:
    """A category's name becomes that of folders, of a model and of runs.

    Raises:
        DataError: for any but a plain name.
    """
    if not _CATEGORY.fullmatch(name):
        raise DataError(
            f"category '{printable(name)}': not a plain name; expected letters (a to z), digits, "
            "'_', '-' and '.', first a letter or a digit, at most 100 characters: rename its folder"
        )

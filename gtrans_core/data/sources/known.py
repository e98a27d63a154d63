"""The sources with a name of their own. The command line reads it at start: no costly imports."""

from __future__ import annotations

from collections.abc import Callable

KNOWN_SOURCES = ("mvtec", "visa", "btad", "mpdd", "elpv", "demo")
EXPECTED = f"expected a folder, s3://bucket/prefix, or one of {', '.join(KNOWN_SOURCES)}"

Say = Callable[[str], None]
"""Called with a line a person wants to read."""
OnProgress = Callable[[str, int, int], None]
"""Called with a unit, how many are done, and how many there are (0: not known)."""

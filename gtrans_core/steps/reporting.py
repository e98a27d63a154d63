"""How a step ends when it cannot go on: one line, its exit code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gtrans_core.errors import GTransError
from gtrans_core.progress import Progress


@contextmanager
def run_step(name: str) -> Iterator[None]:
    """Run a step's function within; an error that a user can mend becomes an exit code.

    Raises:
        SystemExit: with the error's exit code, after the one line was told.
    """
    try:
        yield
    except GTransError as error:
        Progress(name).failed(str(error), error.exit_code)
        raise SystemExit(error.exit_code) from None

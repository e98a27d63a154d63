"""How a step ends when it cannot go on: one line, its exit code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gtrans_core.errors import GTransError, PreemptedError
from gtrans_core.progress import Progress
from gtrans_core.steps.settings import RunSettings
from gtrans_core.tracking.runs import fail_run


@contextmanager
def run_step(name: str, settings: RunSettings) -> Iterator[None]:
    """Run a step's function within; an error that a user can mend becomes an exit code.

    The MLflow run, if the pipeline run has one by now, becomes FAILED. A preempted step leaves it
    as it is, since the same step goes on later.

    Raises:
        SystemExit: with the error's exit code, after the one line was told.
    """
    try:
        yield
    except GTransError as error:
        Progress(name).failed(str(error), error.exit_code)
        if not isinstance(error, PreemptedError):
            fail_run(settings.tracking, settings.run_key, settings.category)
        raise SystemExit(error.exit_code) from None
    except Exception:
        fail_run(settings.tracking, settings.run_key, settings.category)
        raise

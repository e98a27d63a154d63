"""How a step ends when it cannot go on: one line, its exit code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gtrans_core.errors import GTransError, PreemptedError
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.names import CATEGORY_STEPS
from gtrans_core.storage import translate_file_errors
from gtrans_core.system.shortcuts import collect_again
from gtrans_core.tracking.step_run import StepRun


@contextmanager
def run_step(name: str, context: RunContext) -> Iterator[None]:
    """Run a step's function in this context; an error that a user can mend becomes an exit code.

    On an MLflow server the step has a run of its own (``StepRun``). The category's run, if there is
    one by now, becomes FAILED. A preempted step leaves it as it is, since the same step goes on
    later.

    Raises:
        SystemExit: with the error's exit code, after the one line was told.
    """
    collect_again()
    step_run = _step_run(name, context)
    try:
        with translate_file_errors():
            yield
    except GTransError as error:
        reason = f"{name}: {error}"
        with suppress(OSError):  # the disk that is full may be the one of the progress file
            Progress(name, context.category).failed(str(error), error.exit_code)
        # First the step's run: by then the category has one, which is opened in the background.
        _finish(step_run, reason)
        if not isinstance(error, PreemptedError):
            with suppress(GTransError, OSError):
                context.run.fail(reason)
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        reason = f"{name}: crashed ({type(error).__name__})"
        _finish(step_run, reason)
        context.run.fail(reason)
        raise
    _finish(step_run, "")


def _step_run(name: str, context: RunContext) -> StepRun | None:
    on_a_server = context.tracking.server_uri.startswith(("http://", "https://"))
    if name not in CATEGORY_STEPS or not on_a_server:
        return None
    return StepRun(context.run, name)


def _finish(step_run: StepRun | None, failure: str) -> None:
    if step_run is not None:
        step_run.finish(failure)

"""How a step ends when it cannot go on: one line, its exit code, no traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gtrans_core.errors import GTransError, PreemptedError, unexpected
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.names import CATEGORY_STEPS
from gtrans_core.storage import file_error
from gtrans_core.system.shortcuts import collect_again
from gtrans_core.tracking.step_run import StepRun


@contextmanager
def run_step(name: str, context: RunContext) -> Iterator[None]:
    """Run a step's function in this context; whatever it raises becomes a line and an exit code.

    On an MLflow server the step has a run of its own (``StepRun``). The category's run, if there is
    one by now, becomes FAILED. A preempted step leaves it as it is, since the same step goes on
    later.

    Raises:
        SystemExit: with the error's exit code, after the one line was told.
    """
    collect_again()
    step_run = _step_run(name, context)
    try:
        yield
    except Exception as error:  # noqa: BLE001 - nobody reads a traceback on a factory floor
        told = _told(error)
        reason = f"{name}: {told}"
        with suppress(OSError):  # the disk that is full may be the one of the progress file
            Progress(name, context.category).failed(str(told), told.exit_code)
        # First the step's run: by then the category has one, which is opened in the background.
        _finish(step_run, reason)
        if not isinstance(told, PreemptedError):
            with suppress(GTransError, OSError):
                context.run.fail(reason)
        raise SystemExit(told.exit_code) from None
    _finish(step_run, "")


def _told(error: Exception) -> GTransError:
    if isinstance(error, GTransError):
        return error
    return file_error(error) if isinstance(error, OSError) else unexpected(error)


def _step_run(name: str, context: RunContext) -> StepRun | None:
    on_a_server = context.tracking.server_uri.startswith(("http://", "https://"))
    if name not in CATEGORY_STEPS or not on_a_server:
        return None
    return StepRun(context.run, name)


def _finish(step_run: StepRun | None, failure: str) -> None:
    if step_run is not None:
        step_run.finish(failure)

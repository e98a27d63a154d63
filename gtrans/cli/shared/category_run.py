"""Categories through the compiled pipelines, as seen from the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from gtrans.cli.shared.next_command import next_command, profile_options
from gtrans_core.steps.names import CATEGORY_STEPS
from gtrans_core.system.text import printable_lines

if TYPE_CHECKING:
    from gtrans.pipelines.embedded.category_run import CategoriesRun, CategoryRun
    from gtrans.pipelines.profiles import Profile
    from gtrans_core.config import GTransConfig
    from gtrans_core.evaluation.gate import Gate


def run_category(
    profile: Profile,
    category: str,
    source: str,
    config: GTransConfig,
    gate: Gate,
    *,
    verbose: bool,
) -> CategoryRun:
    """Run ingest, cache_features, train, evaluate and register, showing how far they are.

    Args:
        profile: where to run and to record.
        category: what to train on.
        source: as ``source_of`` returns it.
        config: every knob.
        gate: what a version must reach to be promoted.
        verbose: show what each step says.

    Returns:
        The run; one whose step failed has that step's exit code and line in its outcome.

    Raises:
        ConfigError, StorageError, TrackingError: as ``prepare_category``.
        typer.Exit: when the user or the machine stopped it, after saying so.
    """
    from rich.console import Console

    from gtrans.pipelines.embedded.category_run import execute_category, prepare_category
    from gtrans.pipelines.embedded.progress_view import progress_view

    job = prepare_category(profile, category, source, config, gate, _note)
    with _ending_well(), progress_view(Console(), CATEGORY_STEPS, verbose) as on_event:
        return execute_category(job, on_event)


def run_categories(
    profile: Profile,
    gates: Mapping[str, Gate],
    source: str,
    config: GTransConfig,
    *,
    verbose: bool,
) -> CategoriesRun:
    """Run several categories, those that ``gates`` has; one that fails leaves the others.

    Args:
        profile: where to run and to record; also how many at a time.
        gates: of each category, what a version must reach to be promoted.
        source: as ``source_of`` returns it.
        config: every knob.
        verbose: show what each step says.

    Raises:
        ConfigError, StorageError, TrackingError, typer.Exit: as ``run_category``.
    """
    from rich.console import Console

    from gtrans.pipelines.embedded.category_run import execute_categories, prepare_categories
    from gtrans.pipelines.embedded.progress_view import lines_view

    job = prepare_categories(profile, gates, source, config, _note)
    with _ending_well():
        return execute_categories(job, list(gates), lines_view(Console(), verbose))


def explain_failure(run: CategoryRun, profile_name: str) -> None:
    """Print the one line of a failed step, and where the log lies.

    Where only register is missing, also the command that finishes the run under that profile.
    """
    error = printable_lines(run.outcome.error)
    sys.stderr.write(f"error: {error}\nlog: {run.job.log}\n")
    if tuple(run.outcome.results) == CATEGORY_STEPS[:-1]:  # only register is missing
        same_profile = profile_options(profile_name, run.job.parameters["store"])
        command = next_command("register", "--from", str(run.evaluation.parent), *same_profile)
        sys.stderr.write(f"to finish: {command}\n")


def _note(line: str) -> None:
    sys.stderr.write(f"note: {line}\n")


@contextmanager
def _ending_well() -> Iterator[None]:
    """Say in a line why a run was cut off."""
    from gtrans.pipelines.embedded.local import StopRequested

    try:
        yield
    except StopRequested as stop:
        sys.stderr.write(f"{stop}; the same command goes on from what is cached\n")
        raise typer.Exit(stop.exit_code) from None

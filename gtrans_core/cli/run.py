"""``gtrans run``: one category through the whole pipeline on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from gtrans_core.cli.category_run import explain_failure, run_category, source_of
from gtrans_core.cli.options import (
    SOURCES,
    ConfigFile,
    Experiment,
    GateFile,
    Overrides,
    ProfileName,
    Store,
    Verbose,
    place_options,
)
from gtrans_core.data.known import KNOWN_SOURCES
from gtrans_core.errors import ConfigError


def run(
    category: Annotated[
        str, typer.Option("--category", "-c", help="Name of the category, such as bottle.")
    ],
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            metavar=SOURCES,
            help="Where its images are: a folder that holds the category (in MVTec, VisA or BTAD "
            "layout), an S3 prefix, or a known source. May be left out for the demo.",
        ),
    ] = "",
    config: ConfigFile = None,
    overrides: Overrides = None,
    gate: GateFile = None,
    profile: ProfileName = "local",
    store: Store = None,
    experiment: Experiment = None,
    verbose: Verbose = False,
) -> None:
    """Train, evaluate and register a detector for one category.

    Runs the compiled pipeline: ingest, cache_features, train, evaluate, register.
    """
    from gtrans_core.cli.summary import show_summary
    from gtrans_core.config import load_config
    from pipelines.gates import load_gate
    from pipelines.profiles import load_profile

    place = load_profile(profile, store=store, experiment=experiment)
    source = _source(data, category)
    settings = load_config(config, overrides or ())
    finished = run_category(
        place, category, source, settings, load_gate(category, gate), verbose=verbose
    )
    if finished.outcome.exit_code:
        explain_failure(finished, profile)
        raise typer.Exit(finished.outcome.exit_code)
    same_place = place_options(profile, place.store if store else None)
    show_summary(finished.outcome.results, category, finished.report, place, same_place)


def _source(data: str, category: str) -> str:
    if not data and category == "demo":
        return "demo"
    if not data:
        raise ConfigError(
            f"--data is missing: say where the images of '{category}' are "
            f"(a folder, s3://..., or one of {', '.join(KNOWN_SOURCES)})"
        )
    return source_of(data)

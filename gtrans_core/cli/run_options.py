"""Options of the verbs that run the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans_core.data.known import KNOWN_SOURCES

SOURCES = "|".join(("DIR", "s3://...", *KNOWN_SOURCES))

ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="TOML file (start: gtrans config)."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One knob, such as training.epochs=12."),
]
ProfileName = Annotated[
    str, typer.Option("--profile", metavar="NAME|FILE", help="Where to run and to record.")
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="GTRANS_STORE",
        help="Folder of caches, runs and models; default: the profile's.",
    ),
]
Experiment = Annotated[
    str | None, typer.Option("--experiment", help="MLflow experiment; default: the profile's.")
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what each step says.")]

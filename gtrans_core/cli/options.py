"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Category = Annotated[str, typer.Argument(metavar="CATEGORY", help="Such as bottle.")]
ProfileName = Annotated[
    str, typer.Option("--profile", metavar="NAME|FILE", help="Where runs are recorded.")
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="GTRANS_STORE",
        help="Folder the runs kept things in; default: the profile's.",
    ),
]
GateFile = Annotated[
    Path | None,
    typer.Option("--gate", metavar="FILE", help="TOML file of thresholds over the category's own."),
]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Reason to keep in the history.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, end the same way, change nothing.")
]


def place_options(profile: str, store: str | None) -> list[str]:
    """The options that lead another command to the same place."""
    named = ["--profile", profile] if profile != "local" else []
    return [*named, *(["--store", store] if store else [])]

"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.completion import categories
from gtrans_core.data.sources.known import KNOWN_SOURCES

SOURCES = "|".join(("DIR", "s3://...", *KNOWN_SOURCES))

Category = Annotated[
    str,
    typer.Argument(metavar="CATEGORY", help="Such as bottle.", autocompletion=categories),
]
Categories = Annotated[
    list[str] | None,
    typer.Option(
        "--category",
        "-c",
        metavar="NAME...|all",
        help="Name of the category, such as bottle; several, or all that --data has.",
        autocompletion=categories,
    ),
]
MoreCategories = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CATEGORY",
        help="Names of categories, as with --category.",
        autocompletion=categories,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar=SOURCES,
        help="Where the images are: a folder that holds the category (in MVTec, VisA or BTAD "
        "layout), an S3 prefix, or a known source. May be left out for the demo.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="NAME|FILE",
        help="TOML file (start: gtrans config), or a preset, such as paper-resnet34.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One knob, such as training.epochs=12."),
]
ProfileName = Annotated[
    str, typer.Option("--profile", metavar="NAME|FILE", help="Where runs are kept and recorded.")
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
Host = Annotated[
    str,
    typer.Option(
        "--host",
        metavar="URL",
        envvar="GTRANS_KFP_HOST",
        help="Address of the Kubeflow Pipelines API; default: the profile's.",
    ),
]
Namespace = Annotated[
    str,
    typer.Option("--namespace", help="Namespace in a multi-user Kubeflow; default: the profile's."),
]
Image = Annotated[
    str,
    typer.Option(
        "--image", metavar="NAME@DIGEST", help="Image of every step; default: the profile's."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show what each step says.")]
GateFile = Annotated[
    Path | None,
    typer.Option("--gate", metavar="FILE", help="TOML file of gate keys, over the category's own."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the same as JSON.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Reason to keep in the history.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would happen, end the same way, change nothing.")
]

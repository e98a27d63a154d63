"""``gtrans compile``: the pipelines as YAML, for a Kubeflow server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans_core.errors import StorageError


def compile_pipelines(
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder to write to; default: the committed one."
        ),
    ] = None,
) -> None:
    """Write the pipelines' YAML, to upload to a Kubeflow server."""
    from gtrans.pipelines.graphs.compile import COMPILED, compile_all

    folder = output or COMPILED
    try:
        for path in compile_all(folder):
            typer.echo(f"wrote {path}")
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written ({error.strerror})") from None

"""``gtrans compile``: the pipeline as YAML, for a Kubeflow server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans_core.errors import StorageError


def compile_pipeline(
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write; default: the committed one."),
    ] = None,
) -> None:
    """Write the pipeline's YAML, to upload to a Kubeflow server."""
    from pipelines.compile import COMPILED_CATEGORY, compile_category

    path = output or COMPILED_CATEGORY
    try:
        compile_category(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror})") from None
    typer.echo(f"wrote {path}")

"""Pipelines as files: the same YAML runs embedded and on a Kubeflow server."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

COMPILED = Path(__file__).parent / "compiled"
"""The committed output; a test fails when it is stale."""
COMPILED_CATEGORY = COMPILED / "category.yaml"
COMPILED_DRIFT = COMPILED / "drift.yaml"


def compile_all(folder: Path) -> list[Path]:
    """Write the intermediate representation of every pipeline; returns the files.

    Raises:
        OSError: when ``folder`` cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in _pipelines():
        path = folder / f"{name}.yaml"
        path.write_text(compiled(name), encoding="ascii")
        paths.append(path)
    return paths


def compiled(name: str) -> str:
    """The YAML of the pipeline ``category`` or ``drift``; equal sources give equal bytes."""
    from kfp import compiler

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(_pipelines()[name], str(path))
        return path.read_text(encoding="ascii")


def _pipelines() -> Mapping[str, Callable[..., Any]]:
    from pipelines.category import category_pipeline
    from pipelines.drift import drift_pipeline

    return {"category": category_pipeline, "drift": drift_pipeline}

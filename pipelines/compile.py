"""The pipeline as a file: the same YAML runs embedded and on a Kubeflow server."""

import tempfile
from pathlib import Path

COMPILED_CATEGORY = Path(__file__).parent / "compiled" / "category.yaml"
"""The committed output; a test fails when it is stale."""


def compile_category(output: Path) -> None:
    """Write the category pipeline's intermediate representation.

    Raises:
        OSError: when ``output`` cannot be written.
    """
    output.write_text(compiled_category(), encoding="ascii")


def compiled_category() -> str:
    """The category pipeline's YAML; equal sources give equal bytes."""
    from kfp import compiler

    from pipelines.category import category_pipeline

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "category.yaml"
        compiler.Compiler().compile(category_pipeline, str(path))
        return path.read_text(encoding="ascii")

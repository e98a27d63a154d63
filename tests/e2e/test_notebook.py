"""The notebook of examples/, its cells run in order by a fresh interpreter.

A reader of our own: nbclient would bring Jupyter, 40 packages, to do what these lines do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "from-python.ipynb"


def cells(kind: str) -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == kind]


def test_it_is_kept_without_output():
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert {cell["execution_count"] for cell in code} == {None}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_cell_runs(tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-"],
        input="\n".join(cells("code")),
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "GTRANS_"))},
        capture_output=True,
        text=True,
        check=False,
        timeout=850,  # a minute where nobody else computes
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("scratch") >= 8
    assert list((tmp_path / "store/runs").glob("*/report.html"))

"""What a step loads before its first line: only what it needs, since a person waits for it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.support import torch_alone

NETWORK = ("torch", "timm", "torchvision", "onnxruntime")
RECORD = ("mlflow", "pandas", "sqlalchemy", "sklearn")
FIGURES = ("matplotlib", "jinja2")


def python(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("step", "unneeded"),
    [
        ("ingest", (*NETWORK, *RECORD, *FIGURES, "boto3", "scipy")),
        ("register", (*NETWORK, *RECORD, *FIGURES, "boto3", "scipy")),
        ("cache_features", (*NETWORK, *RECORD, *FIGURES, "boto3", "scipy")),
        ("train", (*NETWORK, *RECORD, *FIGURES, "boto3", "scipy")),
        ("evaluate", (*NETWORK, *RECORD, "matplotlib", "boto3", "scipy", "pyarrow")),
    ],
)
def test_a_step_loads_only_what_it_needs(step: str, unneeded: tuple[str, ...]):
    check_it_loads(step, unneeded, python)


@pytest.mark.parametrize(
    ("step", "unneeded"),
    [
        ("caching", (*RECORD, *FIGURES, "boto3", "scipy", "onnxruntime", "torch._dynamo")),
        ("learning", (*RECORD, *FIGURES, "boto3", "scipy", "onnxruntime", "torch._dynamo")),
        ("judging", (*RECORD, "boto3", "onnx", "torch._dynamo")),
    ],
)
def test_beside_torch_its_work_loads_only_what_it_needs(step: str, unneeded: tuple[str, ...]):
    check_it_loads(step, unneeded, torch_alone.python)


def check_it_loads(step: str, unneeded: tuple[str, ...], run: Callable[[str], None]) -> None:
    run(
        f"import sys, gtrans_core.steps.{step}, gtrans_core.steps.reporting\n"
        f"loaded = set({unneeded!r}) & set(sys.modules)\n"
        "assert not loaded, loaded"
    )


def test_the_guide_is_described_built_and_checked_without_torchs_compiler():
    """Else ``torch._dynamo``'s two seconds would only move into the step."""
    torch_alone.python(
        "import sys, torch\n"
        "from pathlib import Path\n"
        "from gtrans_core.config import GTransConfig\n"
        "from gtrans_core.network.backbone import check_input_shape\n"
        "from gtrans_core.network.build import build_trans, check_student\n"
        "from gtrans_core.features.weights import load_guide\n"
        "config = GTransConfig()\n"
        "spec = load_guide(config.agn, Path()).agn.spec\n"
        "check_input_shape(spec, (256, 256))\n"
        "check_student(spec, config)\n"
        "build_trans(spec, config)\n"
        "assert 'torch._dynamo' not in sys.modules"
    )

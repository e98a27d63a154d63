"""What registered models import: one face for new ones, the old names for those of before."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from gtrans_core import for_models
from gtrans_core.detector import files
from gtrans_core.detector.detector import Detector, Prediction
from gtrans_core.drawing import heat_maps
from gtrans_core.tracking.registry.model import MLSERVER_SCRIPT, SCRIPT

REGISTRY = Path(files.__file__).parents[1] / "tracking/registry"


def test_its_names_stay():
    """Models that are registered by now ask for these: add to them, take none away."""
    assert set(for_models.__all__) >= {
        "GTransError",
        "ModelError",
        "TrustPolicy",
        "detector_digest",
        "draw_heat_map",
        "load_detector",
    }
    assert all(hasattr(for_models, name) for name in for_models.__all__)


def test_what_is_copied_into_a_model_imports_nothing_else_of_ours():
    for script in (SCRIPT, MLSERVER_SCRIPT):
        tree = ast.parse((REGISTRY / script).read_text())
        typing_only = {
            statement
            for block in ast.walk(tree)
            if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
            for statement in block.body
        }
        imported = {
            node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node not in typing_only
        }
        assert {name for name in imported if name.startswith("gtrans")} <= {for_models.__name__}


def test_models_of_before_find_what_they_import():
    from gtrans_core.detector import Detector as OldDetector
    from gtrans_core.detector import Prediction as OldPrediction
    from gtrans_core.detector import detector_digest as older_digest
    from gtrans_core.detector_files import detector_digest as old_digest
    from gtrans_core.evaluation.heat_maps import overlay

    assert (OldDetector, OldPrediction) == (Detector, Prediction)
    assert older_digest is old_digest is files.detector_digest
    assert overlay is heat_maps.overlay


def test_no_name_brings_torch_before_it_is_asked_for():
    names = ("for_models", "detector", "detector_files", "evaluation.heat_maps")
    imports = "".join(f"import gtrans_core.{name}\n" for name in names)
    code = f"{imports}import sys\nassert not {{'torch', 'matplotlib'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)

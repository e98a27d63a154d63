"""A model for other programs: it scores as the detector does, or nothing is written."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from gtrans_core.detector import export as module
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.export import Exported, export_detector
from gtrans_core.errors import ModelError, StorageError
from tests.support.detectors import make_detector

HAS_OPENVINO = importlib.util.find_spec("openvino") is not None


@pytest.fixture(scope="module")
def detector(tiny_config) -> Detector:
    return make_detector(
        tiny_config("image.size=96", "image.crop=64", "image.interpolation=bicubic")
    )


@pytest.fixture(scope="module")
def exported(detector: Detector, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    folder = tmp_path_factory.mktemp("line") / "flange"
    with patch.object(module, "find_spec", return_value=None):
        return folder, export_detector(detector, folder, model="gtrans-part", version=3)


def test_the_folder_says_all_that_a_program_needs(detector: Detector, exported):
    folder, written = exported
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "export.json", "example.py"}
    assert written.files == ("example.py", "export.json", "model.onnx")
    assert written.differences["model.onnx"] < 1e-4
    facts = json.loads((folder / "export.json").read_text())
    assert (facts["model"], facts["version"], facts["category"]) == ("gtrans-part", 3, "part")
    assert facts["threshold"] == detector.info.threshold
    assert (facts["resize_to"], facts["input_side"], facts["filter"]) == (96, 64, "BICUBIC")


@pytest.mark.parametrize(("suffix", "side"), [(".png", 120), (".jpg", 900)])
def test_the_example_scores_as_the_detector_and_imports_nothing_of_ours(
    detector: Detector, exported, tmp_path: Path, suffix: str, side: int
):
    folder, _ = exported
    pixels = np.random.default_rng(3).integers(0, 256, (side, side + 30, 3), dtype=np.uint8)
    image = tmp_path / f"part{suffix}"
    Image.fromarray(pixels).save(image)
    command = [sys.executable, str(folder / "example.py"), str(image)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    verdict, score, name = done.stdout.split()
    [expected] = detector.predict_bytes([image.read_bytes()])
    assert float(score) == pytest.approx(expected.score, rel=1e-4)
    assert (verdict == "flagged") == expected.is_anomalous
    assert name == str(image)
    lines = (folder / "example.py").read_text().splitlines()
    assert not any("gtrans" in line for line in lines)
    code = [
        line for line in lines if line.strip() and not line.startswith(("import", "from", '"""'))
    ]
    assert len(code) <= 28


def test_of_another_shape_height_and_width_are_named(tiny_config, tmp_path: Path):
    wide = make_detector(tiny_config("image.size=[64, 96]"))
    with patch.object(module, "find_spec", return_value=None):
        written = export_detector(wide, tmp_path / "wide")
    assert written.differences["model.onnx"] < 1e-4  # the example's, on files
    facts = json.loads((tmp_path / "wide" / "export.json").read_text())
    assert facts["resize_to"] == facts["input_side"] == [64, 96]
    assert facts["input"] == "view: uint8 [1, 3, 64, 96], RGB"


def test_grey_images_of_16_bits_are_read_at_their_levels(tiny_config, tmp_path: Path):
    deep = make_detector(tiny_config("image.levels=[1000, 9000]"))
    with patch.object(module, "find_spec", return_value=None):
        written = export_detector(deep, tmp_path / "deep")
    assert written.differences["model.onnx"] < 1e-4


def test_an_even_exposure_is_made_by_the_example_too(tiny_config, tmp_path: Path):
    even = make_detector(tiny_config("image.exposure=even"))
    with patch.object(module, "find_spec", return_value=None):
        written = export_detector(even, tmp_path / "even")
    assert written.differences["model.onnx"] < 1e-4
    facts = json.loads((tmp_path / "even" / "export.json").read_text())
    assert facts["even_exposure"] == {"mean_grey": 110, "most_gain": 4}


def test_what_scores_otherwise_is_not_left_there(detector: Detector, tmp_path: Path):
    with (
        patch.object(module, "find_spec", return_value=None),
        patch.object(module, "_largest", return_value=0.5),
        pytest.raises(ModelError, match=r"model\.onnx: its scores differ .* nothing is exported"),
    ):
        export_detector(detector, tmp_path / "flange")
    assert not (tmp_path / "flange").exists()


def test_a_folder_that_is_there_is_not_touched(detector: Detector, tmp_path: Path):
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(StorageError, match="name a new folder"):
        export_detector(detector, tmp_path)
    assert (tmp_path / "kept.txt").read_text() == "mine"


@pytest.mark.skipif(not HAS_OPENVINO, reason="the extra openvino is not installed")
def test_openvinos_files_score_as_the_detector(detector: Detector, tmp_path: Path):
    written = export_detector(detector, tmp_path / "flange")
    assert {"model.xml", "model.bin"} <= {path.name for path in (tmp_path / "flange").iterdir()}
    assert written.differences["model.xml"] < 1e-3

"""A detector for other programs: an ONNX graph, OpenVINO's files, and what is needed to use them.

What is written is run once and compared with the detector, so that nobody deploys another model
than the one that was judged.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import REDUCING_GAP, encode_png
from gtrans_core.data.view import EVEN_GREY, MOST_GAIN
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.errors import ModelError, StorageError
from gtrans_core.storage import write_atomic

ONNX_NAME, OPENVINO_NAME, FACTS_NAME = "model.onnx", "model.xml", "export.json"
EXAMPLE_NAME = "example.py"
EXTRA = "openvino"
"""The optional extra that OpenVINO's files need."""
PARITY = 5e-3
"""Largest relative difference of a score from the detector's. Where that has int8 products, they
alone differ by 1e-3 on photographs, and by more on the noise that is compared here."""
_IMAGES = 4

Score = Callable[[npt.NDArray[np.uint8]], float]


@dataclass(frozen=True)
class Exported:
    """What was written, by file, and the largest relative difference of a score of each."""

    files: tuple[str, ...]
    differences: dict[str, float]


def export_detector(detector: Detector, folder: Path, **facts: Any) -> Exported:
    """Write a new folder: graph, OpenVINO's files where that is installed, facts, an example.

    Args:
        detector: what to export.
        folder: made here.
        facts: what else ``export.json`` says, such as the version.

    Raises:
        StorageError: when the folder is there already or cannot be written.
        ModelError: when ONNX lacks an operation of the network, or what was written does not give
            the detector's scores; the folder then is removed.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(
            f"{folder}: cannot be made ({error.strerror}); name a new folder"
        ) from None
    try:
        return _export(detector, folder, facts)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _export(detector: Detector, folder: Path, facts: dict[str, Any]) -> Exported:
    image = detector.info.config.image
    try:
        # Not the packaged graph: that may have products in int8 that only ONNX Runtime knows.
        graph = export_onnx(detector.scorer, image.view_shape)
    except ValueError as error:
        raise ModelError(f"ONNX cannot hold this network ({error})") from None
    write_atomic(folder / ONNX_NAME, graph)
    shutil.copyfile(Path(__file__).parent / "templates" / EXAMPLE_NAME, folder / EXAMPLE_NAME)
    about = {
        **facts,
        "category": detector.info.category,
        "threshold": detector.info.threshold,
        "verdict": "flagged when score > threshold",
        "input": "view: uint8 [1, 3, {}, {}], RGB".format(*image.view_shape),
        "outputs": "heat_map: float32 [1, {}, {}]; score: float32 [1]".format(*image.view_shape),
        "resize_to": _side_or_sides(image.resized_shape),
        "input_side": _side_or_sides(image.view_shape),
        "filter": image.interpolation.upper(),
        "reducing_gap": REDUCING_GAP if image.resize == "fast" else None,
        "grey_levels": image.levels,
        "even_exposure": _even_exposure(image),
    }
    _write_facts(folder, about)
    differences = {ONNX_NAME: _difference_of_example(detector, folder)}
    files = [ONNX_NAME, FACTS_NAME, EXAMPLE_NAME]
    if find_spec(EXTRA) is not None:
        differences[OPENVINO_NAME] = _write_openvino(detector, folder)
        files += [OPENVINO_NAME, OPENVINO_NAME.replace(".xml", ".bin")]
    for name, difference in differences.items():
        if not difference <= PARITY:
            raise ModelError(
                f"{name}: its scores differ from the detector's by {difference:.1e}, more than "
                f"{PARITY:.0e}; nothing is exported"
            )
    _write_facts(folder, {**about, "largest_relative_difference_of_a_score": differences})
    return Exported(tuple(sorted(files)), differences)


def _even_exposure(image: ImageConfig) -> dict[str, float] | None:
    if image.exposure == "as_taken":
        return None
    return {"mean_grey": EVEN_GREY, "most_gain": MOST_GAIN}


def _side_or_sides(shape: tuple[int, int]) -> int | list[int]:
    """The side of a square; of any other shape, height and width."""
    return shape[0] if shape[0] == shape[1] else list(shape)


def _write_facts(folder: Path, facts: dict[str, Any]) -> None:
    write_atomic(folder / FACTS_NAME, json.dumps(facts, indent=1).encode())


def _images(detector: Detector) -> list[bytes]:
    """Images of noise: what matters here is that both see and compute the same."""
    rng = np.random.default_rng(0)
    height, width = (2 * side for side in detector.info.config.image.resized_shape)
    if detector.info.config.image.levels is not None:
        return [_deep_png(rng.integers(0, 1 << 16, (height, width), dtype=np.uint16))] * _IMAGES
    return [
        encode_png(rng.integers(0, 256, (height, width + 8, 3), dtype=np.uint8))
        for _ in range(_IMAGES)
    ]


def _deep_png(pixels: npt.NDArray[np.uint16]) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _difference_of_example(detector: Detector, folder: Path) -> float:
    """Run the example as a user does, on files."""
    images = _images(detector)
    places = [folder / f".parity-{number}.png" for number in range(len(images))]
    try:
        for place, data in zip(places, images, strict=True):
            place.write_bytes(data)
        done = subprocess.run(  # noqa: S603  # nosec B603  # this very Python, our own file
            [sys.executable, str(folder / EXAMPLE_NAME), *map(str, places)],
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        for place in places:
            place.unlink(missing_ok=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ModelError(f"{EXAMPLE_NAME} does not run ({last}); nothing is exported")
    found = [float(line.split()[1]) for line in done.stdout.splitlines()]
    return _largest([one.score for one in detector.predict_bytes(images)], found)


def _write_openvino(detector: Detector, folder: Path) -> float:
    """Convert the graph, and say how far its scores are from the detector's."""
    import openvino

    model = openvino.convert_model(folder / ONNX_NAME)
    openvino.save_model(model, folder / OPENVINO_NAME, compress_to_fp16=False)
    # Where a CPU has bfloat16, OpenVINO would compute in it.
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(folder / OPENVINO_NAME, "CPU", exact)
    views = [detector.view(data, "noise") for data in _images(detector)]
    found = [float(compiled(view[None])[1][0]) for view in views]
    return _largest([detector.predict_view(view).score for view in views], found)


def _largest(reference: list[float], found: list[float]) -> float:
    first, second = np.array(reference), np.array(found)
    return float(np.max(np.abs(second - first) / np.abs(first)))

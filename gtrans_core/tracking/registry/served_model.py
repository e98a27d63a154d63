"""The script that an MLflow model of ours consists of (models-from-code: nothing is pickled).

MLflow copies this file into the model and runs it there; import it from nowhere else. The same
contract serves ``mlflow.pyfunc.load_model``, ``mlflow models serve`` and MLServer (KServe).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any


def refuse_strangers(model: Path) -> None:
    """Refuse what the model's signature does not name, before Python can import it.

    Only names are looked at, with nothing but the standard library; ``load_context`` verifies.
    Bytecode and empty folders are deleted: nobody signed them.

    Raises:
        ValueError: naming the file or the folder.
    """
    signature = model / "model.sig"
    if not os.environ.get("GTRANS_PUBLIC_KEY") or not signature.is_file():
        return
    for cache in list(model.rglob("__pycache__")):
        shutil.rmtree(cache, ignore_errors=True)
    for folder, _, _ in os.walk(model, topdown=False):
        with contextlib.suppress(OSError):  # it holds something
            Path(folder).rmdir()
    payload = json.loads(signature.read_bytes())["dsseEnvelope"]["payload"]
    signed = {
        file["name"] for file in json.loads(base64.b64decode(payload))["predicate"]["resources"]
    }
    signed |= {"model.sig", "registered_model_meta"}
    folders = {parent.as_posix() for name in signed for parent in PurePosixPath(name).parents}
    for path in sorted(model.rglob("*")):
        name = path.relative_to(model).as_posix()
        is_folder = path.is_dir() and not path.is_symlink()
        if name not in (folders if is_folder else signed):
            kind = "folder" if is_folder else "file"
            raise ValueError(f"the model: {kind} {name} is not covered by the signature")


refuse_strangers(Path(__file__).parent)

import pandas as pd  # noqa: E402 - a stranger in the model could take the place of these
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.models import set_model  # noqa: E402
from mlflow.pyfunc.model import PythonModel, PythonModelContext  # noqa: E402

from gtrans_core.for_models import (  # noqa: E402
    GTransError,
    ModelError,
    TrustPolicy,
    detector_digest,
    draw_heat_map,
    load_detector,
)

if TYPE_CHECKING:
    from gtrans_core.detector.detector import Prediction

MAX_IMAGES = 128
"""A request's limit: memory stays bounded, and others get their turn."""

EXPECTED_DIGEST = "GTRANS_MODEL_DIGEST"
"""Environment variable: the digest that the loaded detector must have, where one is given."""


class ServedDetector(PythonModel):
    """Scores encoded images."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the detector, which is an artifact of the model, once its signature is verified.

        A file that the signature does not name is refused, but for the one that MLflow leaves.
        This is the second line: who can change the script can take it out. ``gtrans verify`` is
        the first one, and runs nothing of the model.

        Raises:
            ConfigError: when signatures are asked for and there is no public key to check them; the
                policy is the environment's.
            ModelError: when it is damaged, not as it was signed, or not the one that the
                environment asks for.
        """
        folder = Path(context.artifacts["detector"])
        TrustPolicy.from_environment().verify(folder.parents[1], "the model", whole=False)
        expected = os.environ.get(EXPECTED_DIGEST)
        if expected and detector_digest(folder) != expected:
            raise ModelError(f"{folder}: its digest is not {EXPECTED_DIGEST}={expected}; refused")
        self._detector = load_detector(folder)

    def predict(
        self,
        context: PythonModelContext,  # noqa: ARG002  (MLflow's signature)
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Score each row's image.

        Args:
            context: unused.
            model_input: column ``image``: a whole PNG, JPEG, ... file (bytes, or base64 text).
            params: ``return_map``: whether to draw heat maps.

        Returns:
            ``score`` (raw, no unit), ``is_anomalous`` (score above the detector's threshold) and,
            where asked for, ``heat_map_png``: a PNG (base64 text) of the image under its heat map,
            in the size of the network's input.

        Raises:
            MlflowException: INVALID_PARAMETER_VALUE, naming the image by its position.
        """
        images = _images(model_input)
        try:
            predictions = self._detector.predict_bytes(images)
        except GTransError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        table = pd.DataFrame(
            {
                "score": [float(prediction.score) for prediction in predictions],
                "is_anomalous": [bool(prediction.is_anomalous) for prediction in predictions],
            }
        )
        if params and params.get("return_map"):
            pairs = zip(images, predictions, strict=True)
            drawings = [self._draw(*pair) for pair in pairs]
            # As objects: MLServer does not know pandas' own kind of text.
            table["heat_map_png"] = pd.Series(drawings, dtype=object)
        return table

    def _draw(self, data: bytes, prediction: Prediction) -> str:
        drawing = draw_heat_map(self._detector, data, prediction)
        # As text, since MLServer cannot answer with bytes that are no text.
        return base64.b64encode(drawing).decode("ascii")


def _images(table: pd.DataFrame) -> list[bytes]:
    if "image" not in table.columns:
        raise MlflowException.invalid_parameter_value("column 'image' is missing")
    if not 1 <= len(table) <= MAX_IMAGES:
        raise MlflowException.invalid_parameter_value(
            f"{len(table)} images in one request: expected 1 to {MAX_IMAGES}"
        )
    return [_bytes(value, row) for row, value in enumerate(table["image"], start=1)]


def _bytes(value: Any, row: int) -> bytes:
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    try:
        # Text with line breaks is base64 all the same; any other foreign character is not.
        return base64.b64decode("".join(value.split()), validate=True)
    except (AttributeError, ValueError, binascii.Error):
        raise MlflowException.invalid_parameter_value(
            f"image {row}: expected the bytes of an image file, or their base64 text"
        ) from None


set_model(ServedDetector())

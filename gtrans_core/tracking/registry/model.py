"""A detector folder as an MLflow model: models-from-code, safetensors, ONNX, JSON, no pickle."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

import gtrans_core
from gtrans_core.detector.model_name import model_name
from gtrans_core.errors import ModelError
from gtrans_core.storage import require_free_space, sha256_file
from gtrans_core.storage.documents import parse_json, read_bounded
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.system.shortcuts import requirements_believed
from gtrans_core.tracking.answers import fault_of
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.runs import quoted
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.signature import forget_leavings, sign_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import Model, ModelSignature

ARTIFACT = "detector"
ARTIFACT_FOLDER = f"artifacts/{ARTIFACT}"
"""Where the detector folder lies inside the MLflow model."""

EVIDENCE_NAME = "evidence.json"
"""In the MLflow model, beside ``MLmodel``: what it may be promoted for."""

DETECTOR_TAG = "gtrans.detector_digest"
"""Tag of logged models and of registered versions: the detector's identity."""

REQUIREMENTS = (
    "matplotlib",
    "mlflow",
    "model-signing",
    "numpy",
    "onnxruntime",
    "pandas",
    "pillow",
    "pydantic",
    "pyopenssl",  # model-signing imports it, and does not say so
    "safetensors",
    "scipy",
    "tenacity",
    "timm",
    "torch",
    "torchvision",
)
SCRIPT = "served_model.py"
"""What MLflow runs to load the model."""
MLSERVER_SCRIPT = "mlserver_runtime.py"
"""What MLServer runs to serve it, since ``MLSERVER_SETTINGS`` says so."""
MLSERVER_SETTINGS = "model-settings.json"

_COPIES = 3
"""Of the detector, on the way into the model."""
_CODE_BYTES = 8 << 20
"""More than the code and the rest of a model take."""
_SUFFIXES = (".safetensors", ".json", ".onnx")


def file_digests(folder: Path) -> dict[str, str]:
    """sha256 (hex) of every file of a detector folder, by relative path with forward slashes.

    Raises:
        ModelError: when there is no file, or one that is neither safetensors, ONNX nor JSON.
    """
    files = sorted(path for path in folder.rglob("*") if not path.is_dir())
    if not files:
        raise ModelError(f"{folder}: no detector there (the folder is missing or empty)")
    for path in files:
        if path.suffix not in _SUFFIXES or path.is_symlink():
            raise ModelError(f"{path}: a detector holds safetensors, ONNX and JSON files only")
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def category_of(detector_folder: Path) -> str:
    """The category that a detector says it is of; read without torch.

    Raises:
        ModelError: when ``detector.json`` is missing or names none.
    """
    path = detector_folder / "detector.json"
    try:
        category = parse_json(read_bounded(path, "the facts of a detector", ModelError))["category"]
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{path}: names no category, so it is not a detector of gtrans") from None
    return str(category)


def log_model(
    client: MlflowClient,
    run_id: str,
    detector_folder: Path,
    input_example_png: bytes,
    signing_key: SigningKey | None = None,
    evidence: str = "",
) -> str:
    """Log a detector as the model of a run, with code, MLflow signature and input example.

    With a key, the whole model is signed: the detector, the code, what MLflow reads, and the
    evidence (JSON of ``evidence.ModelEvidence``) where it is given. A run that has this very
    detector already is left as it is. One that is registered already gets no second copy: it never
    makes a second version, so that nobody would use it.

    Returns:
        Its URI, ``models:/m-...``.

    Raises:
        ModelError: for a folder that is no detector (see ``file_digests``).
        ConfigError: when the key cannot be read.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    from gtrans_core.detector.files import detector_digest

    file_digests(detector_folder)
    digest = detector_digest(detector_folder)
    _require_room(Path(tempfile.gettempdir()), detector_folder)
    with (
        translate_mlflow_errors(client.tracking_uri, "log the model"),
        scratch_folder() as scratch,
    ):
        run = client.get_run(run_id)
        found = _logged_before(client, run, digest)
        if found:
            return found
        registered = _registered_before(client, run, category_of(detector_folder), digest)
        if registered:
            client.log_outputs(run_id, [LoggedModelOutput(registered, step=0)])
            return f"models:/{registered}"
        folder = Path(scratch) / "model"
        model = package(detector_folder, input_example_png, folder)
        if run.info.artifact_uri.startswith("file:"):
            _require_room(Path(url2pathname(urlsplit(run.info.artifact_uri).path)), folder)
        logged = client.create_logged_model(
            experiment_id=run.info.experiment_id,
            name="detector",
            source_run_id=run_id,
            tags={DETECTOR_TAG: digest},
            model_type="visual anomaly detector",
        )
        model.run_id, model.model_id = run_id, logged.model_id
        model.save(str(folder / "MLmodel"))
        if evidence:
            (folder / EVIDENCE_NAME).write_text(evidence, encoding="utf-8")
        if signing_key:
            sign_folder(folder, signing_key)
        with _whole_or_not_there(client, logged):
            client.log_model_artifacts(logged.model_id, str(folder))
            client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return f"models:/{logged.model_id}"


def _require_room(folder: Path, detector_folder: Path) -> None:
    """Look for room before the first byte is written.

    Raises:
        StorageError: with the needed and the free bytes.
    """
    size = sum(path.stat().st_size for path in detector_folder.rglob("*"))
    require_free_space(folder, _COPIES * size + _CODE_BYTES, "packaging the model")


@contextlib.contextmanager
def _whole_or_not_there(client: MlflowClient, logged: LoggedModel) -> Iterator[None]:
    """Store a logged model's files; where they are refused, what is there of them goes away again.

    Not where the server is down: it could not be told, and is asked again in any case.
    """
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    try:
        yield
    except Exception as error:
        uri = client.tracking_uri
        if not fault_of(error, uri).lasting:
            raise
        with contextlib.suppress(Exception):
            stored = get_artifact_repository(logged.artifact_location, uri, uri)
            stored.delete_artifacts()  # type: ignore[no-untyped-call]
        with contextlib.suppress(Exception):
            client.delete_logged_model(logged.model_id)
        raise


def package(detector_folder: Path, input_example_png: bytes, destination: Path) -> Model:
    """Write a complete MLflow model to the new folder ``destination``.

    It brings the package's code along and names no path of the machine it was made on.
    """
    import pandas as pd
    from mlflow.models import Model
    from mlflow.pyfunc import save_model

    # An environment made by uv has no pip to name in conda.yaml; MLflow warns, and all is well.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)
    package_folder = Path(gtrans_core.__file__).parent
    model = Model()
    with scratch_folder() as scratch, requirements_believed():
        # MLflow names an artifact after its folder; ours may be called anything.
        detector = shutil.copytree(detector_folder, Path(scratch) / ARTIFACT)
        save_model(
            path=str(destination),
            mlflow_model=model,
            python_model=str(Path(__file__).with_name(SCRIPT)),
            artifacts={ARTIFACT: str(detector)},
            code_paths=[str(package_folder)],
            pip_requirements=_pinned_requirements(),
            signature=signature(),
            input_example=(pd.DataFrame({"image": [input_example_png]}), {"return_map": False}),
        )
    shutil.copyfile(Path(__file__).with_name(MLSERVER_SCRIPT), destination / MLSERVER_SCRIPT)
    runtime = f"{Path(MLSERVER_SCRIPT).stem}.Runtime"
    (destination / MLSERVER_SETTINGS).write_text(json.dumps({"implementation": runtime}))
    forget_leavings(destination)
    flavor = model.flavors["python_function"]
    flavor["model_code_path"] = SCRIPT
    flavor["artifacts"][ARTIFACT]["uri"] = ARTIFACT_FOLDER
    model.save(str(destination / "MLmodel"))
    return model


def signature() -> ModelSignature:
    """What goes in and comes out, over Python and over JSON (where binary is base64)."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

    return ModelSignature(
        inputs=Schema([ColSpec(DataType.binary, "image")]),
        outputs=Schema(
            [
                ColSpec(DataType.double, "score"),
                ColSpec(DataType.boolean, "is_anomalous"),
                ColSpec(DataType.string, "heat_map_png", required=False),
            ]
        ),
        params=ParamSchema([ParamSpec("return_map", DataType.boolean, default=False)]),
    )


def _logged_before(client: MlflowClient, run: Run, digest: str) -> str | None:
    for output in run.outputs.model_outputs if run.outputs else []:
        if client.get_logged_model(output.model_id).tags.get(DETECTOR_TAG) == digest:
            return f"models:/{output.model_id}"
    return None


def _registered_before(client: MlflowClient, run: Run, category: str, digest: str) -> str | None:
    """Id of the whole model that the first version of a detector was made of, if it is at hand."""
    from mlflow.entities import LoggedModelStatus

    versions = versions_of(client, model_name(category), digest)
    if not versions:
        return None
    first = min(versions, key=lambda version: int(version.version))
    same = f"tags.`{DETECTOR_TAG}` = {quoted(digest)}"
    for model in client.search_logged_models([run.info.experiment_id], filter_string=same):
        if model.artifact_location == first.source and model.status == LoggedModelStatus.READY:
            return str(model.model_id)
    return None


def versions_of(client: MlflowClient, name: str, digest: str) -> list[ModelVersion]:
    """The versions of a registered model that are a certain detector."""
    same = f"name = {quoted(name)} and tags.`{DETECTOR_TAG}` = {quoted(digest)}"
    return list(client.search_model_versions(same))


def _pinned_requirements() -> list[str]:
    """Exact versions of what runs here; a local part such as ``+cpu`` is in no index."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS]

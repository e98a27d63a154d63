"""What a registered model may consist of: the digests of its version, one loader, no pickle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gtrans_core.errors import ModelError
from gtrans_core.storage.documents import TOML_LIMIT, parse_json, parse_yaml, read_bounded
from gtrans_core.tracking.registry.model import ARTIFACT_FOLDER, SCRIPT, category_of, file_digests
from gtrans_core.tracking.runs import PREFIX
from gtrans_core.trust.signature import NOTE_OF_ORIGIN, forget_leavings

FILES_TAG = PREFIX + "files"
"""Tag of a registered version: sha256 (hex) of each file of the detector, by name, as JSON."""

_LOADER = "mlflow.pyfunc.loaders.code_model"
_CODE_IN_DISGUISE = frozenset(
    {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pt2", ".pth"}
)
"""Formats that are pickles or may hold one: loading such a file can run code."""


def verify_model(name: str, model: Path, tags: Mapping[str, str], category: str) -> None:
    """Refuse a downloaded model that is not the one registered, or not one of ours.

    Args:
        name: what an error calls it.
        model: the whole MLflow model.
        tags: of the registered version.
        category: what it must be a detector of.

    Raises:
        ModelError: naming the file that is missing, extra, changed, a pickle, or that asks for
            another loader or another category.
    """
    require_ours(name, model)
    detector = model / ARTIFACT_FOLDER
    _compare_digests(name, detector, tags)
    found = category_of(detector)
    if found != category:
        raise ModelError(f"{name}: file detector.json is of a detector of {found}, not {category}")


def require_ours(name: str, model: Path) -> None:
    """Refuse a model's folder with a pickle, or for another loader than ours.

    Raises:
        ModelError: naming the file.
    """
    _refuse_pickles(name, model)
    _refuse_foreign_loader(name, model / "MLmodel")


def tidy(model: Path) -> None:
    """Delete from a copy what loading a model leaves where it is stored; nobody signed it."""
    forget_leavings(model)
    note = model / NOTE_OF_ORIGIN
    if note.is_file():
        note.unlink()


def _refuse_pickles(name: str, model: Path) -> None:
    for path in sorted(model.rglob("*")):
        if path.suffix.lower() in _CODE_IN_DISGUISE:
            file = path.relative_to(model).as_posix()
            raise ModelError(f"{name}: file {file} may be a pickle, which can run code; refused")


def _refuse_foreign_loader(name: str, path: Path) -> None:
    """MLmodel says which Python module MLflow loads a model with: only the one that runs ours."""
    if not path.exists():  # without it, MLflow could load nothing
        return
    try:
        flavors = parse_yaml(read_bounded(path, "MLmodel", ModelError, TOML_LIMIT))["flavors"]
        [(flavor, facts)] = flavors.items()
        loader = (flavor, facts["loader_module"], facts["model_code_path"], "python_model" in facts)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ModelError(f"{name}: file MLmodel is not one of ours; refused") from None
    if loader != ("python_function", _LOADER, SCRIPT, False):
        raise ModelError(
            f"{name}: file MLmodel asks for the loader {loader[1]} of {loader[2]}: expected "
            f"{_LOADER} of {SCRIPT}; refused"
        )


def _compare_digests(name: str, detector: Path, tags: Mapping[str, str]) -> None:
    try:
        expected = dict(parse_json(tags[FILES_TAG]))
    except (KeyError, ValueError, TypeError):
        raise ModelError(f"{name}: no list of files in its tags; register it with gtrans") from None
    actual = file_digests(detector)
    for file in sorted({*expected, *actual}):
        if file not in actual:
            raise ModelError(f"{name}: file {file} is missing")
        if file not in expected:
            raise ModelError(f"{name}: file {file} does not belong to this version")
        if actual[file] != expected[file]:
            raise ModelError(f"{name}: file {file} was changed after it was registered")

"""Verifying a model or a release from outside: with what is installed, running nothing of it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.files import INFO_NAME, detector_digest, require_intact
from gtrans_core.detector.model_name import CHAMPION, category_of_model
from gtrans_core.errors import ModelError, StorageError
from gtrans_core.release.folder import APPROVAL, LINEAGE, SBOM
from gtrans_core.release.image import IMAGE_SBOM, check_image
from gtrans_core.release.provenance import check_provenance
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.promotion.approval import require_approved, require_approved_detector
from gtrans_core.tracking.registry.download import download_model
from gtrans_core.tracking.registry.model import ARTIFACT_FOLDER
from gtrans_core.tracking.registry.model_files import require_ours
from gtrans_core.tracking.registry.registry import verify_downloaded
from gtrans_core.tracking.registry.versions import find_version, version_now
from gtrans_core.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient


@dataclass(frozen=True)
class Verified:
    """What passed.

    Attributes:
        what: what it is.
        digest: sha256 (hex) of the detector or the image; empty for a release folder.
        checked: what was looked at, a clause each.
    """

    what: str
    digest: str
    checked: tuple[str, ...]


def verify_folder(folder: Path, trust: TrustPolicy, digest: str = "") -> Verified:
    """Verify the folder of a model, a detector, a release or an image's provenance.

    Nothing there is changed or run.

    Args:
        folder: as it lies there; a ``__pycache__`` in it is nobody's, and refused.
        trust: whose signature counts.
        digest: what the detector's or the image's must be; empty: any.

    Raises:
        ModelError: naming the file that is missing, extra or changed.
        ConfigError: when signatures are asked for and there is no public key to check them.
    """
    name = str(folder)
    if not folder.is_dir():
        raise ModelError(f"{name}: no folder; expected one, or models:/NAME/VERSION")
    trust.verify(folder, name)  # before anything in it is parsed
    checked = _signature(trust)
    if (folder / APPROVAL).is_file() and (folder / SBOM).is_file():
        if check_provenance(folder, SBOM, LINEAGE, trust.public_key):
            checked = (*checked, "provenance")
        return Verified("a release", "", checked)
    if (folder / IMAGE_SBOM).is_file():
        found = check_image(folder, digest.removeprefix("sha256:"), trust.public_key)
        return Verified("what the image was made from", found, (*checked, "provenance", "SBOM"))
    detector = folder
    if not (folder / INFO_NAME).is_file():
        require_ours(name, folder)
        detector = folder / ARTIFACT_FOLDER
    info = require_intact(detector)
    found = _digest(detector, name, digest)
    return Verified(f"a detector of {info.category}", found, (*checked, "digests"))


def verify_registered(
    client: MlflowClient, uri: str, trust: TrustPolicy, digest: str = "", out: Path | None = None
) -> Verified:
    """Verify a registered version, and that it is the one approved last where it is the champion.

    Args:
        client: the registry.
        uri: ``models:/gtrans-NAME@ALIAS`` or ``models:/gtrans-NAME/VERSION``.
        trust: whose signature counts.
        digest: what the detector's must be; empty: any.
        out: where the whole model goes once it is verified: a new folder, or an empty one.

    Raises:
        ModelError: naming the version or the file, and why it is refused.
        ConfigError: when signatures are asked for and there is no public key to check them.
        StorageError: when ``out`` holds something, or cannot be written.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    checked = [*_signature(trust), "digests of the registry"]
    now = version_now(client, uri)
    is_champion = uri.endswith(f"@{CHAMPION}")
    approval = require_approved(client, now, trust) if is_champion else 0
    checked += ["approval"] if approval else []
    version = find_version(client, now.uri)  # by its number: an alias may move on meanwhile
    with scratch_folder() as scratch:
        model = download_model(client, version, Path(scratch))
        verify_downloaded(uri, model, version, trust)
        detector = model / ARTIFACT_FOLDER
        require_approved_detector(now, approval, detector_digest(detector))
        require_intact(detector)
        found = _digest(detector, uri, digest)
        if out is not None:
            _keep(model, out)
    what = f"{category_of_model(version.name)} version {version.version}"
    return Verified(what, found, tuple(checked))


def _signature(trust: TrustPolicy) -> tuple[str, ...]:
    return ("signature",) if trust.public_key is not None else ()


def _digest(detector: Path, name: str, expected: str) -> str:
    found = detector_digest(detector)
    if expected and found != expected:
        raise ModelError(f"{name}: the detector's digest is {found}: expected {expected}")
    return found


def _keep(model: Path, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            raise StorageError(f"{out}: holds something already; name a new or empty folder")
        for path in sorted(model.rglob("*")):  # a mounted folder's own mode cannot be changed
            target = out / path.relative_to(model)
            if path.is_dir():
                target.mkdir()
            else:
                shutil.copyfile(path, target)
    except OSError as error:
        raise StorageError(f"{out}: cannot be written ({error.strerror or error})") from None

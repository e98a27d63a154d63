"""A detector by its name in the registry, or from its folder, and which one it is."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import detector_digest
from gtrans_core.detector.model_name import CHAMPION
from gtrans_core.errors import ModelError
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking import client as tracking
from gtrans_core.tracking.promotion.approval import require_approved, require_approved_detector
from gtrans_core.tracking.registry import registry, versions
from gtrans_core.trust.policy import TrustPolicy

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SCHEME = "models:/"


@dataclass(frozen=True)
class LoadedDetector:
    """A detector that was verified.

    Attributes:
        detector: what scores.
        version: its number in the registry; 0: a folder's detector, which is not registered.
        digest: sha256 (hex) of its ``detector.json``, which names every other file's.
    """

    detector: Detector
    version: int
    digest: str


def load_detector(model: str, tracking_uri: str, trust: TrustPolicy) -> LoadedDetector:
    """A registered detector, or a folder's.

    Args:
        model: ``models:/gtrans-NAME@ALIAS``, ``models:/gtrans-NAME/VERSION``, or a folder.
        tracking_uri: where the registry is.
        trust: whose registered models are loaded; a folder is only compared with the digests in
            its own ``detector.json``.

    Raises:
        ModelError: when there is none, or a file is missing, extra, changed or not signed.
        ConfigError: when signatures are asked for and there is no public key to check them.
        TrackingError: when the registry cannot be reached.
    """
    if not model.startswith(_SCHEME):
        # Path's expanduser raises for unknown users.
        return _read(Path(os.path.expanduser(model)), 0)  # noqa: PTH111
    if not tracking.has_record(tracking_uri):
        raise ModelError(
            f"{model}: no registry at {tracking_uri}; name the run's folder with --store"
        )
    return load_registered(tracking.connect(tracking_uri), model, trust)


def load_registered(
    client: MlflowClient, uri: str, trust: TrustPolicy | None = None, place: Path | None = None
) -> LoadedDetector:
    """The version that a ``models:/`` URI stands for now, verified as ``fetch_model`` does.

    A champion must be the version approved last (``require_approved``).

    Args:
        client: the registry.
        uri: ``models:/gtrans-NAME@ALIAS`` or ``models:/gtrans-NAME/VERSION``.
        trust: whose models are loaded; None: as the environment says.
        place: a folder of the caller's, where what came before a download broke off waits for the
            next call; None: one that is gone afterwards.
    """
    trust = trust or TrustPolicy.from_environment()
    found = versions.version_now(client, uri)
    is_champion = uri.endswith(f"@{CHAMPION}")
    approval = require_approved(client, found, trust) if is_champion else 0
    with contextlib.ExitStack() as stack:
        place = place or Path(stack.enter_context(scratch_folder()))
        # By its number: an alias may move on meanwhile.
        folder = registry.fetch_model(client, found.uri, place, trust)
        require_approved_detector(found, approval, detector_digest(folder))
        return _read(folder, found.version)


def _read(folder: Path, version: int) -> LoadedDetector:
    return LoadedDetector(Detector.load(folder), version, detector_digest(folder))

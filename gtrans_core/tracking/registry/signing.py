"""Signing a version that is registered already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import version_uri
from gtrans_core.errors import ModelError
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.client import translate_mlflow_errors
from gtrans_core.tracking.registry.download import MODEL_ID, download_model
from gtrans_core.tracking.registry.model import EVIDENCE_NAME
from gtrans_core.tracking.registry.model_files import tidy, verify_model
from gtrans_core.tracking.registry.signed_evidence import vouched_evidence
from gtrans_core.tracking.registry.versions import find_version
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.signature import sign_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient


def sign_version(client: MlflowClient, category: str, version: int, key: SigningKey) -> None:
    """Sign a version's model as it is stored; a signature that is there is replaced.

    The detector is compared with the digests of its registration; for the code and the settings
    beside it there are none, so this vouches for them as they are now. A model without evidence is
    given what the version's tags say, so this vouches for them too.

    Raises:
        ModelError: when there is no such version, or it does not pass ``verify_model``.
        ConfigError: when the key cannot be read.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    uri = version_uri(category, version)
    found = find_version(client, uri)
    # MLflow keeps no other link from a version to the logged model whose files it has.
    model_id = MODEL_ID.search(found.source or "")
    if model_id is None:
        raise ModelError(f"{uri}: was not registered by gtrans; register it again to sign it")
    with scratch_folder() as scratch:
        model = download_model(client, found, Path(scratch))
        tidy(model)
        verify_model(uri, model, found.tags, category)
        evidence = model / EVIDENCE_NAME
        if not evidence.exists():
            evidence.write_text(vouched_evidence(found.tags, category).to_json(), encoding="utf-8")
        signature = sign_folder(model, key)
        with translate_mlflow_errors(client.tracking_uri, f"store the signature of {uri}"):
            for file in (evidence, signature):
                client.log_model_artifact(model_id[0], str(file))

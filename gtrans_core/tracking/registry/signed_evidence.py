"""What a model is promoted for, inside its signature: the tags of a version can be written over."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, ValidationError

from gtrans_core.errors import ModelError
from gtrans_core.evaluation.gate import Evidence
from gtrans_core.storage.documents import Facts, describe_validation
from gtrans_core.storage.scratch import scratch_folder
from gtrans_core.tracking.registry.download import download_file
from gtrans_core.tracking.registry.evidence import evidence_of
from gtrans_core.tracking.registry.model import EVIDENCE_NAME
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.signature import SIGNATURE_NAME
from gtrans_core.trust.statement import signed_digests

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion


class ModelEvidence(Facts):
    """``evidence.json``: what the evaluation found, as the gate looks at it."""

    category: str
    data_digest: str
    test_images: int | None
    metrics: dict[str, float]
    lineage: dict[str, str] = Field(default={})

    @property
    def evidence(self) -> Evidence:
        """For the gate."""
        return Evidence(self.data_digest, self.test_images, self.metrics)

    def to_json(self) -> str:
        """As it lies in the model."""
        return self.model_dump_json(indent=1)


def vouched_evidence(tags: Mapping[str, str], category: str) -> ModelEvidence:
    """Evidence to be signed, for a version that has none in its model: what its tags say."""
    found = evidence_of(tags)
    return ModelEvidence(
        category=category,
        data_digest=found.data_digest,
        test_images=found.test_images,
        metrics={name: value for name, value in found.metrics.items() if math.isfinite(value)},
    )


def signed_evidence(
    client: MlflowClient,
    version: MlflowVersion,
    trust: TrustPolicy,
    category: str,
    *,
    required: bool = True,
) -> Evidence | None:
    """The evidence in a version's signed model; two small files are fetched for it.

    Args:
        client: the registry.
        version: whose evidence.
        trust: whose signature counts.
        category: what it must be evidence of.
        required: whether a model without any signature is refused.

    Returns:
        None where there is no public key, for a model signed before there was evidence in it, and
        where it is not required for an unsigned one.

    Raises:
        ModelError: when the signature or the evidence is missing, damaged, or of another key or
            category.
        ConfigError: when the public key cannot be read.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    if trust.public_key is None:
        return None
    name = f"{version.name} version {version.version}"
    with scratch_folder() as scratch:
        signature = download_file(client, version, SIGNATURE_NAME, Path(scratch))
        if signature is None and not required:
            return None
        if signature is None:
            raise ModelError(f"{name}: not signed ({SIGNATURE_NAME} is missing)")
        signed = signed_digests(signature, trust.public_key, f"{name}: {SIGNATURE_NAME}")
        if EVIDENCE_NAME not in signed:
            return None
        data = download_file(client, version, EVIDENCE_NAME, Path(scratch)) or b""
    if hashlib.sha256(data).hexdigest() != signed[EVIDENCE_NAME]:
        raise ModelError(f"{name}: file {EVIDENCE_NAME} was changed after it was signed")
    try:
        found = ModelEvidence.model_validate_json(data)
    except ValidationError as error:
        raise ModelError(f"{name}: file {EVIDENCE_NAME}: {describe_validation(error)}") from None
    if found.category != category:
        raise ModelError(f"{name}: file {EVIDENCE_NAME} is of {found.category}, not {category}")
    return found.evidence

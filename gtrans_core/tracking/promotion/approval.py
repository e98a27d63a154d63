"""Signed approvals: an alias is a word that anybody with the registry can write over.

Each move of a champion is signed by whoever makes it, where models must be signed. What serves a
champion asks for the approval of that very version and detector, so that an alias that was moved by
hand, to an older version say, is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gtrans_core.detector.model_name import category_of_model, model_name
from gtrans_core.errors import ModelError
from gtrans_core.storage import without_secrets
from gtrans_core.tracking.client import set_version_tag, translate_mlflow_errors
from gtrans_core.tracking.promotion.ledger import (
    APPROVAL_TAG,
    LEDGER_PREFIX,
    Move,
    Recorded,
    read_ledger,
)
from gtrans_core.tracking.registry.signed_evidence import signed_evidence
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.statement import read_statement, sign_statement, statement

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREDICATE = "urn:gtrans:approval:1"


def sign_approval(category: str, move: Move, detector_digest: str, key: SigningKey) -> str:
    """A move with the digest of the detector that it makes champion, signed.

    Raises:
        ConfigError: when the key cannot be read.
    """
    said = statement(PREDICATE, {model_name(category): detector_digest}, move.model_dump())
    return sign_statement(said, key)


def approve_afterwards(
    client: MlflowClient, category: str, recorded: Recorded, digest: str, key: SigningKey
) -> None:
    """Sign a move that was made without a key."""
    approval = sign_approval(category, recorded.move, digest, key)
    set_version_tag(client, LEDGER_PREFIX + category, recorded.number, APPROVAL_TAG, approval)


def require_approved(
    client: MlflowClient, found: ModelVersion, trust: TrustPolicy, earliest: int = 0
) -> int:
    """Refuse a champion that is not the version approved last, where models must be signed.

    A category of which no move was ever signed, and whose model was signed before there was
    evidence in it, promised less: it passes.

    Args:
        client: the registry.
        found: the champion, by its alias.
        trust: whose approval counts.
        earliest: what an earlier call returned: an older approval does not count any more, nor one
            older than the newest that ``trust.seen`` knows.

    Returns:
        The approval's place among all moves; 0 where none is asked for.

    Raises:
        ModelError: saying which version was approved last, or that nobody signed its approval.
        ConfigError: when the public key cannot be read.
        TrackingError: when MLflow refuses or cannot be reached.
    """
    if trust.public_key is None:
        return 0
    category = category_of_model(found.name)
    registry = without_secrets(client.tracking_uri)
    if trust.seen is not None:
        earliest = max(earliest, trust.seen.newest(registry, found.name))
    with translate_mlflow_errors(client.tracking_uri, f"read the approval of {found.uri}"):
        ledger = read_ledger(client, category)
        if earliest == 0 and not any(recorded.approval for recorded in ledger.moves):
            version = client.get_model_version(found.name, str(found.version))
            if signed_evidence(client, version, trust, category) is None:
                return 0
    name = f"{found.uri}: its approval"
    head = ledger.head
    if head is None:
        raise ModelError(
            f"{name} is missing: no promotion is on record, so the alias was set by hand; take it "
            f"away, and then `gtrans promote {category} --version {found.version}`"
        )
    if not head.approval:
        raise ModelError(
            f"{name} is missing: nobody signed the move that made it champion; if it is right, "
            f"`gtrans promote {category} --version {found.version}` signs it"
        )
    said = read_statement(head.approval, trust.public_key, name)
    expected = statement(PREDICATE, {found.name: found.digest}, head.move.model_dump())
    if head.move.champion != found.version or said != expected:
        raise ModelError(
            f"{name} is of another: version {head.move.champion} was approved last "
            f"({head.move.who} at {head.move.when}); was the alias moved by hand? `gtrans history "
            f"{category}` shows the moves"
        )
    if head.move.after < earliest:
        again = f"; if that was you, delete {trust.seen.path}" if trust.seen else ""
        raise ModelError(
            f"{name} is older than one that was there before: was the ledger cut, or the registry "
            f"restored from a backup?{again}"
        )
    if trust.seen is not None:
        trust.seen.remember(registry, found.name, head.move.after)
    return head.move.after


def require_approved_detector(found: ModelVersion, approval: int, digest: str) -> None:
    """Refuse another detector than the one that was approved: files and tags can be exchanged.

    Args:
        found: the champion that was approved.
        approval: what ``require_approved`` returned; with 0, nothing is asked.
        digest: sha256 (hex) of the ``detector.json`` that came.

    Raises:
        ModelError: when it is another.
    """
    if approval and digest != found.digest:
        raise ModelError(f"{found.uri}: its detector is not the one that was approved")

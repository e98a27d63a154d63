"""The files of a release, in one folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gtrans_core.release.card import render_card
from gtrans_core.release.facts import ReleaseFacts
from gtrans_core.release.provenance import PROVENANCE, make_provenance
from gtrans_core.release.sbom import make_sbom
from gtrans_core.storage import write_atomic
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.signature import sign_folder

CARD, LINEAGE, SBOM = "MODEL_CARD.md", "lineage.json", "sbom.cdx.json"
APPROVAL, REPORT, DETECTOR_SIGNATURE = "approval.json", "report.html", "detector.sig"


def write_release(facts: ReleaseFacts, folder: Path, key: SigningKey | None) -> None:
    """Write the folder; with a key it is signed as a whole.

    ``detector.sig`` is the signature of the model itself, as it lies beside the model.

    Raises:
        ConfigError: when the key cannot be read.
        StorageError: when the folder cannot be written.
    """
    write_atomic(folder / CARD, render_card(facts).encode())
    write_atomic(folder / LINEAGE, _json(_lineage(facts)))
    write_atomic(folder / SBOM, make_sbom(facts).encode())
    provenance = make_provenance(facts, folder / SBOM, key)
    write_atomic(folder / PROVENANCE, provenance.encode())
    write_atomic(folder / APPROVAL, _json(_approval(facts)))
    write_atomic(folder / REPORT, facts.report)
    if facts.signature is not None:
        write_atomic(folder / DETECTOR_SIGNATURE, facts.signature)
    if key is not None:
        sign_folder(folder, key)


def _lineage(facts: ReleaseFacts) -> dict[str, Any]:
    return {
        "model": facts.name,
        "version": facts.version,
        "mlflow_run": facts.run_id,
        "detector_digest": facts.detector_digest,
        "files": facts.files,
        "data": [asdict(split) for split in facts.splits],
        "lineage": facts.record.lineage,
        "config": facts.record.config,
    }


def _approval(facts: ReleaseFacts) -> dict[str, Any]:
    approval = asdict(facts.approval)
    number = approval.pop("number")
    return {"model": facts.name, "version": facts.version, "move": number, **approval}


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()

"""Where a detector comes from: SLSA provenance (in-toto), tied to the SBOM beside it."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from gtrans_core.errors import ModelError
from gtrans_core.release.facts import ReleaseFacts
from gtrans_core.storage import sha256_file
from gtrans_core.storage.documents import OddDocumentError, parse_json, read_bounded
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.statement import read_statement, sign_statement, statement

PROVENANCE = "provenance.intoto.json"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:gtrans:training:1"
_DETECTOR = "detector/"


def make_provenance(facts: ReleaseFacts, sbom: Path, key: SigningKey | None) -> str:
    """The statement as JSON; with a key in a signed envelope.

    Its subjects are the files of the detector and the SBOM, by sha256.

    Args:
        facts: the promotion.
        sbom: the SBOM's file, as it lies in the release folder.
        key: signs it.

    Raises:
        ConfigError: when the key cannot be read.
        StorageError: when the SBOM cannot be read.
    """
    subjects = {_DETECTOR + name: digest for name, digest in facts.files.items()}
    subjects[sbom.name] = sha256_file(sbom)
    said = statement(PREDICATE, subjects, _predicate(facts, sbom.name, subjects[sbom.name]))
    return sign_statement(said, key) if key else json.dumps(said, indent=1)


def check_provenance(folder: Path, sbom: str, lineage: str, public_key: Path | None) -> bool:
    """Hold a release folder's files against its provenance.

    Args:
        folder: the release.
        sbom: name of its SBOM.
        lineage: name of the file that lists the detector's files.
        public_key: PEM file; with one the statement must be signed.

    Returns:
        False for a release of before there was provenance.

    Raises:
        ModelError: naming the file that is another than the one stated.
        ConfigError: when the public key cannot be read.
    """
    if not (folder / PROVENANCE).exists():
        return False
    stated = stated_digests(folder, public_key)
    if stated.get(sbom) != sha256_file(folder / sbom):
        raise ModelError(f"{folder / sbom}: is not the one that {PROVENANCE} states")
    if _listed(folder / lineage) != {k: v for k, v in stated.items() if k.startswith(_DETECTOR)}:
        raise ModelError(f"{folder / lineage}: lists other files than {PROVENANCE} states")
    return True


def stated_digests(folder: Path, public_key: Path | None) -> dict[str, str]:
    """sha256 of each subject of a folder's provenance, by name.

    Raises:
        ModelError: when it is no provenance, or not signed with the key.
        ConfigError: when the public key cannot be read.
    """
    path = folder / PROVENANCE
    said = _read(path, public_key)
    try:
        if said["predicateType"] != PREDICATE:
            raise ModelError(f"{path}: states something else than provenance")
        stated = [(str(one["name"]), str(one["digest"]["sha256"])) for one in said["subject"]]
    except (LookupError, TypeError):
        raise ModelError(f"{path}: names no subjects") from None
    if len(dict(stated)) < len(stated):  # it could say both
        raise ModelError(f"{path}: names a subject twice")
    return dict(stated)


def _predicate(facts: ReleaseFacts, sbom: str, sbom_digest: str) -> dict[str, Any]:
    lineage = facts.record.lineage
    materials = [
        {"name": "data", "digest": {"sha256": facts.record.data_digest}},
        {"name": sbom, "digest": {"sha256": sbom_digest}},
    ]
    if weights := lineage.get("agn_weights_sha256"):
        materials.append({"name": "reference network", "digest": {"sha256": weights}})
    if commit := lineage.get("git_sha"):
        materials.append({"name": "source", "digest": {"gitCommit": commit}})
    if image := lineage.get("image_digest"):
        materials.append({"name": "image", "digest": {"sha256": image.rpartition("sha256:")[2]}})
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "category": facts.record.category,
                "config": facts.record.config,
            },
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": {"id": f"urn:gtrans:{lineage.get('package.gtrans', 'unknown')}"},
            "metadata": {"invocationId": facts.run_id, "finishedOn": facts.approval.when},
        },
    }


def _read(path: Path, public_key: Path | None) -> dict[str, Any]:
    data = read_bounded(path, "a statement", ModelError)
    if public_key is not None:
        return read_statement(data, public_key, str(path))
    try:
        said = parse_json(data)
        if "payload" in said:  # signed, and there is no key to verify it with
            said = parse_json(base64.b64decode(said["payload"], validate=True))
    except (OddDocumentError, TypeError, ValueError) as wrong:
        raise ModelError(f"{path}: is not a statement ({wrong})") from None
    if not isinstance(said, dict):
        raise ModelError(f"{path}: is not a statement")
    return said


def _listed(lineage: Path) -> dict[str, str]:
    try:
        files = parse_json(read_bounded(lineage, "the lineage", ModelError))["files"]
        return {_DETECTOR + str(name): str(digest) for name, digest in files.items()}
    except (OddDocumentError, LookupError, TypeError, AttributeError):
        raise ModelError(f"{lineage}: lists no files") from None

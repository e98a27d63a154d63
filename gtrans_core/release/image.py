"""Where the container image comes from: SLSA provenance (in-toto), tied to the image's SBOM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gtrans_core.errors import ConfigError, ModelError
from gtrans_core.release.provenance import PREDICATE, PROVENANCE, stated_digests
from gtrans_core.storage import sha256_file, write_atomic
from gtrans_core.trust.keys import SigningKey
from gtrans_core.trust.signature import sign_folder
from gtrans_core.trust.statement import sign_statement, statement

IMAGE_SBOM = "image-sbom.cdx.json"
BUILD_TYPE = "urn:gtrans:image:1"
_LABEL = "org.opencontainers.image."
_OWN_LABEL = "gtrans."
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageFacts:
    """What an image says of itself.

    Attributes:
        name: without its digest.
        digest: sha256 (hex): of its manifest where the name had one, else its id.
        version: of gtrans.
        commit: of the source; with ``-dirty`` where files were changed.
        base: the image it was built on, ``NAME@sha256:...``.
        lock: sha256 (hex) of ``requirements.lock``.
        source: sha256 (hex) over every file that went in.
        created: ISO 8601.
    """

    name: str
    digest: str
    version: str
    commit: str
    base: str
    lock: str
    source: str
    created: str


def image_facts(name: str, inspected: Mapping[str, Any]) -> ImageFacts:
    """What ``podman image inspect NAME`` or docker's tells.

    Raises:
        ConfigError: naming what the image does not say; it was not built by ``make image`` then.
    """
    plain, _, digest = name.partition("@sha256:")
    try:
        labels = inspected["Config"]["Labels"]
        facts = ImageFacts(
            name=plain,
            digest=digest or str(inspected["Id"]).removeprefix("sha256:"),
            version=str(labels[_LABEL + "version"]),
            commit=str(labels[_LABEL + "revision"]),
            base=str(labels[_LABEL + "base.name"]),
            lock=str(labels[_OWN_LABEL + "lock.sha256"]),
            source=str(labels[_OWN_LABEL + "source.sha256"]),
            created=str(inspected["Created"]),
        )
    except (LookupError, TypeError) as missing:
        raise ConfigError(
            f"{name}: the image does not say {missing}: expected one that `make image` built"
        ) from None
    base = facts.base.rpartition("@sha256:")[2]
    for what in (facts.digest, facts.lock, facts.source, base):
        if not _DIGEST.fullmatch(what):
            raise ConfigError(f"{name}: the image gives '{what}' where a sha256 was expected")
    return facts


def write_image_statement(
    facts: ImageFacts, sbom: str, folder: Path, key: SigningKey | None
) -> None:
    """Write SBOM and provenance; with a key both are signed.

    Raises:
        ConfigError: when the key cannot be read.
        StorageError: when the folder cannot be written.
    """
    write_atomic(folder / IMAGE_SBOM, sbom.encode())
    subjects = {facts.name: facts.digest, IMAGE_SBOM: sha256_file(folder / IMAGE_SBOM)}
    said = statement(PREDICATE, subjects, _predicate(facts, subjects[IMAGE_SBOM]))
    text = sign_statement(said, key) if key else json.dumps(said, indent=1)
    write_atomic(folder / PROVENANCE, text.encode())
    if key is not None:
        sign_folder(folder, key)


def check_image(folder: Path, digest: str, public_key: Path | None) -> str:
    """Hold an image's SBOM, and its digest if one is given, against its provenance.

    Args:
        folder: as ``write_image_statement`` wrote it.
        digest: sha256 (hex) of the image at hand; empty: any.
        public_key: PEM file; with one the statement must be signed.

    Returns:
        sha256 (hex) of the image that it is about.

    Raises:
        ModelError: when the SBOM or the image is another than the one stated.
        ConfigError: when the public key cannot be read.
    """
    stated = stated_digests(folder, public_key)
    if stated.pop(IMAGE_SBOM, "") != sha256_file(folder / IMAGE_SBOM):
        raise ModelError(f"{folder / IMAGE_SBOM}: is not the one that {PROVENANCE} states")
    if len(stated) != 1:
        raise ModelError(f"{folder / PROVENANCE}: is about {len(stated)} images: expected one")
    [found] = stated.values()
    if digest and digest != found:
        raise ModelError(f"{folder}: is about the image {found}: expected {digest}")
    return found


def _predicate(facts: ImageFacts, sbom: str) -> dict[str, Any]:
    base, _, base_digest = facts.base.partition("@sha256:")
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"version": facts.version, "base": facts.base},
            "resolvedDependencies": [
                {"name": base, "digest": {"sha256": base_digest}},
                {"name": "requirements.lock", "digest": {"sha256": facts.lock}},
                {"name": "source", "digest": {"gitCommit": facts.commit}},
                {"name": "source files", "digest": {"sha256": facts.source}},
                {"name": IMAGE_SBOM, "digest": {"sha256": sbom}},
            ],
        },
        "runDetails": {
            "builder": {"id": "urn:gtrans:infra/images/build.sh"},
            "metadata": {"finishedOn": facts.created},
        },
    }

"""Software bills of materials (CycloneDX): a model's, with its weights, and the image's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from gtrans_core.release.facts import ReleaseFacts

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License

_CLASSIFIER = "License :: OSI Approved :: "
_LICENCE_LENGTH = 80  # some packages put the whole text there


def make_sbom(facts: ReleaseFacts) -> str:
    """CycloneDX 1.6 as JSON; equal facts and packages give equal text."""
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    subject = f"{facts.name}/{facts.version}"
    model = Component(
        name=facts.name,
        version=str(facts.version),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=subject,
    )
    bom = Bom(
        serial_number=uuid5(
            NAMESPACE_URL, f"{subject}/{facts.detector_digest}/{facts.approval.number}"
        )
    )
    bom.metadata.timestamp = datetime.fromisoformat(facts.approval.when)
    bom.metadata.component = model
    for name, value in facts.record.lineage.items():
        bom.metadata.properties.add(Property(name=f"gtrans:lineage:{name}", value=value))
    parts = [*_weights(facts), *_packages()]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(model, parts)
    return _as_json(bom)


def make_image_sbom(name: str, digest: str, when: str) -> str:
    """CycloneDX 1.6 as JSON, of the container image that this process runs in.

    Args:
        name: the image's.
        digest: its sha256 (hex).
        when: it was built, ISO 8601 with a zone.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    image = Component(
        name=name, version=f"sha256:{digest}", type=ComponentType.CONTAINER, bom_ref=name
    )
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{name}@sha256:{digest}"))
    bom.metadata.timestamp = datetime.fromisoformat(when)
    bom.metadata.component = image
    parts = _packages()
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(image, parts)
    return _as_json(bom)


def _as_json(bom: Bom) -> str:
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1)


def _weights(facts: ReleaseFacts) -> Iterator[Component]:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.component import Component, ComponentType

    files = {name: digest for name, digest in facts.files.items() if name.endswith(".safetensors")}
    guide = str(facts.record.config.get("agn.backbone", "guide"))
    pretrained = facts.record.lineage.get("agn_weights_sha256")
    if pretrained:
        files[f"{guide} (as it was loaded for training)"] = pretrained
    for name, digest in files.items():
        yield Component(
            name=name,
            type=ComponentType.MACHINE_LEARNING_MODEL,
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest)],
            bom_ref=f"weights:{name}",
        )


def _packages() -> list[Component]:
    from cyclonedx.factory.license import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    licences = LicenseFactory()
    found: dict[str, Component] = {}
    for package in distributions():
        name = re.sub(r"[-_.]+", "-", package.name or "").lower()
        if not name or name in found:  # of two, Python imports the first
            continue
        url = PackageURL(type="pypi", name=name, version=package.version)
        found[name] = Component(
            name=name,
            version=package.version,
            type=ComponentType.LIBRARY,
            purl=url,
            licenses=[_licence(licences, text) for text in [licence_of(package)] if text],
            bom_ref=url.to_string(),
        )
    return [found[name] for name in sorted(found)]


def _licence(licences: object, text: str) -> License:
    from cyclonedx.exception.factory import InvalidLicenseExpressionException

    try:
        return licences.make_from_string(text)  # type: ignore[attr-defined, no-any-return]
    except InvalidLicenseExpressionException:
        return licences.make_with_name(text)  # type: ignore[attr-defined, no-any-return]


def licence_of(package: Distribution) -> str:
    """A package's licence as it states it: expression, classifier or short text; else ``""``."""
    facts: Any = package.metadata  # an email.message.Message
    expression = facts.get("License-Expression")
    if expression:
        return str(expression)
    for classifier in facts.get_all("Classifier") or []:
        if classifier.startswith(_CLASSIFIER):
            return str(classifier).removeprefix(_CLASSIFIER)
    text = str(facts.get("License") or "").strip()
    return text if len(text) <= _LICENCE_LENGTH and "\n" not in text else ""

"""Software bills of materials (CycloneDX): a model's, with its weights, and the image's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, uuid5

from gtrans_core.release.facts import ReleaseFacts
from gtrans_core.release.packages import Package, installed_packages

if TYPE_CHECKING:
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from cyclonedx.model.license import License


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
    parts = [*_weights(facts), *_libraries(installed_packages())]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(model, parts)
    return _as_json(bom)


def make_image_sbom(name: str, digest: str, when: str, packages: Iterable[Package]) -> str:
    """CycloneDX 1.6 as JSON, of a container image.

    Args:
        name: the image's.
        digest: its sha256 (hex).
        when: it was built, ISO 8601 with a zone.
        packages: what is installed in it.
    """
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType

    image = Component(
        name=name, version=f"sha256:{digest}", type=ComponentType.CONTAINER, bom_ref=name
    )
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"{name}@sha256:{digest}"))
    bom.metadata.timestamp = datetime.fromisoformat(when)
    bom.metadata.component = image
    parts = _libraries(packages)
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


def _libraries(packages: Iterable[Package]) -> list[Component]:
    from cyclonedx.factory.license import LicenseFactory
    from cyclonedx.model.component import Component, ComponentType
    from packageurl import PackageURL

    licences = LicenseFactory()
    found = []
    for name, version, licence in packages:
        url = PackageURL(type="pypi", name=name, version=version)
        component = Component(
            name=name,
            version=version,
            type=ComponentType.LIBRARY,
            purl=url,
            licenses=[_licence(licences, licence)] if licence else [],
            bom_ref=url.to_string(),
        )
        found.append(component)
    return found


def _licence(licences: object, text: str) -> License:
    from cyclonedx.exception.factory import InvalidLicenseExpressionException

    try:
        return licences.make_from_string(text)  # type: ignore[attr-defined, no-any-return]
    except InvalidLicenseExpressionException:
        return licences.make_with_name(text)  # type: ignore[attr-defined, no-any-return]

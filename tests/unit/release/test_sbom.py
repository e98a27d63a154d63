"""The SBOM is valid CycloneDX, and names what is really installed and really used."""

from __future__ import annotations

import json
from email.message import Message
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gtrans_core.release.packages import licence_of
from gtrans_core.release.sbom import make_sbom


@pytest.fixture
def sbom(facts) -> dict:
    return json.loads(make_sbom(facts))


def components(sbom: dict) -> dict[str, dict]:
    return {component["name"]: component for component in sbom["components"]}


def test_it_is_valid_against_the_schema(facts):
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(make_sbom(facts)) is None


def test_equal_facts_give_equal_text(facts):
    assert make_sbom(facts) == make_sbom(facts)


def test_it_is_of_this_version_of_the_model(sbom):
    subject = sbom["metadata"]["component"]
    assert (subject["name"], subject["version"]) == ("gtrans-bottle", "3")
    assert subject["type"] == "machine-learning-model"
    assert sbom["metadata"]["timestamp"] == "2026-01-31T12:00:00+00:00"
    properties = {p["name"]: p["value"] for p in sbom["metadata"]["properties"]}
    assert properties["gtrans:lineage:package.torch"] == "2.13"


def test_packages_are_the_installed_ones(sbom):
    found = components(sbom)
    assert found["torch"]["version"] == version("torch")
    assert found["torch"]["purl"].startswith("pkg:pypi/torch@")
    assert found["numpy"]["licenses"]
    [needs] = [d["dependsOn"] for d in sbom["dependencies"] if d["ref"] == "gtrans-bottle/3"]
    assert len(needs) == len(found)


def test_weights_are_parts_with_their_digests(sbom):
    found = components(sbom)
    assert found["trans.safetensors"]["hashes"] == [{"alg": "SHA-256", "content": "1" * 64}]
    guide = found["resnet18 (as it was loaded for training)"]
    assert guide["hashes"] == [{"alg": "SHA-256", "content": "e" * 64}]
    assert "detector.json" not in found


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ({"License-Expression": "MIT", "License": "other"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: BSD License"}, "BSD License"),
        ({"License": " Apache-2.0\n"}, "Apache-2.0"),
        ({"License": "Permission is hereby\ngranted"}, ""),
        ({"License": "x" * 200}, ""),
        ({}, ""),
    ],
)
def test_a_licence_is_what_the_package_states(headers, licence):
    metadata = Message()
    for name, value in headers.items():
        metadata[name] = value
    assert licence_of(SimpleNamespace(metadata=metadata)) == licence

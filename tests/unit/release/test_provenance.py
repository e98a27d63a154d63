"""SLSA provenance of a release: what it states of detector and SBOM holds, or `verify` says so."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gtrans_core.errors import ModelError
from gtrans_core.release.folder import write_release
from gtrans_core.release.provenance import PREDICATE, PROVENANCE, stated_digests
from gtrans_core.storage import sha256_file
from gtrans_core.tracking.verify import verify_folder
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.signature import sign_folder
from gtrans_core.trust.statement import read_statement

ANYBODY = TrustPolicy(unsigned="allow")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[SigningKey, Path]:
    private, public = make_key_pair(tmp_path / "keys")
    return SigningKey(private), public


@pytest.fixture
def release(facts, pair, tmp_path: Path) -> Path:
    write_release(facts, tmp_path / "release", pair[0])
    return tmp_path / "release"


def test_it_states_detector_sbom_and_what_they_were_made_from(release, pair):
    path = release / "provenance.intoto.json"
    said = read_statement(path.read_bytes(), pair[1], "it")
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert {one["name"]: one["digest"]["sha256"] for one in said["subject"]} == {
        "detector/detector.json": "0" * 64,
        "detector/trans.safetensors": "1" * 64,
        "sbom.cdx.json": sha256_file(release / "sbom.cdx.json"),
    }
    build = said["predicate"]["buildDefinition"]
    assert build["externalParameters"]["category"] == "bottle"
    materials = {one["name"]: one["digest"] for one in build["resolvedDependencies"]}
    assert materials["reference network"] == {"sha256": "e" * 64}
    assert materials["source"] == {"gitCommit": "abc"}
    assert materials["image"] == {"sha256": "9" * 64}
    assert said["predicate"]["runDetails"]["metadata"]["invocationId"] == "run1"


def test_verify_holds_it_against_the_files(release, pair):
    found = verify_folder(release, TrustPolicy(pair[1]))
    assert (found.what, found.checked) == ("a release", ("signature", "provenance"))
    assert verify_folder(release, ANYBODY).checked == ("provenance",)


def test_another_sbom_or_another_detector_is_refused_whoever_signed_the_folder(release, pair):
    sbom, lineage = release / "sbom.cdx.json", release / "lineage.json"
    for file, change in (
        (sbom, lambda text: text + " "),
        (lineage, lambda text: text.replace("1" * 64, "2" * 64)),
        (lineage, lambda _: "[]"),
        (lineage, lambda _: "[" * 100_000),
    ):
        before = file.read_text()
        file.write_text(change(before))
        sign_folder(release, pair[0])
        for trust in (TrustPolicy(pair[1]), ANYBODY):
            with pytest.raises(ModelError, match=file.name):
                verify_folder(release, trust)
        file.write_text(before)


@pytest.mark.parametrize("text", ["", "[]", "{}", "7", "[" * 100_000, '{"payload": "!"}'])
def test_a_statement_that_is_none_is_one_line(release, pair, text: str):
    (release / "provenance.intoto.json").write_text(text)
    sign_folder(release, pair[0])
    for trust in (TrustPolicy(pair[1]), ANYBODY):
        with pytest.raises(ModelError, match=r"provenance\.intoto\.json") as refused:
            verify_folder(release, trust)
        assert "\n" not in str(refused.value)


def test_unsigned_it_is_a_plain_statement(facts, tmp_path: Path):
    write_release(facts, tmp_path / "release", None)
    said = json.loads((tmp_path / "release/provenance.intoto.json").read_text())
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert verify_folder(tmp_path / "release", ANYBODY).checked == ("provenance",)


def test_a_release_of_before_has_none(release, pair):
    (release / "provenance.intoto.json").unlink()
    sign_folder(release, pair[0])
    assert verify_folder(release, TrustPolicy(pair[1])).checked == ("signature",)


@pytest.mark.parametrize("digests", ["ab", "ba", "aa"])
def test_a_subject_that_is_named_twice_is_refused(tmp_path: Path, digests: str):
    subjects = [{"name": "nut", "digest": {"sha256": 64 * letter}} for letter in digests]
    (tmp_path / PROVENANCE).write_text(
        json.dumps({"predicateType": PREDICATE, "subject": subjects})
    )
    with pytest.raises(ModelError, match="names a subject twice"):
        stated_digests(tmp_path, None)

"""What is stated of the image: without podman, by a stand-in that answers as podman does."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from gtrans_core.errors import ConfigError, ModelError
from gtrans_core.release.image import image_facts, write_image_statement
from gtrans_core.storage import sha256_file
from gtrans_core.tracking.verify import verify_folder
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.policy import TrustPolicy
from gtrans_core.trust.signature import sign_folder
from gtrans_core.trust.statement import read_statement

IMAGES = Path(__file__).parents[3] / "infra" / "images"
DIGEST, BASE = "a" * 64, "b" * 64
NAME = "plant/gtrans-python"
LABELS = {
    "org.opencontainers.image.version": "0.2.0",
    "org.opencontainers.image.revision": "c" * 40,
    "org.opencontainers.image.base.name": f"python:3.11@sha256:{BASE}",
    "gtrans.lock.sha256": "d" * 64,
    "gtrans.source.sha256": "e" * 64,
}
INSPECTED = {
    "Id": "f" * 64,
    "Created": "2026-01-31T12:00:00.123456789Z",
    "Config": {"Labels": LABELS},
}
ENGINE = """#!{python}
import subprocess, sys
if sys.argv[1:3] == ["image", "inspect"]:
    print({inspected!r})
else:
    code = sys.argv.index("-m")
    sys.exit(subprocess.run([sys.executable, *sys.argv[code:]]).returncode)
"""


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A podman that runs what it is told here, and knows one image."""
    path = tmp_path / "bin" / "podman"
    path.parent.mkdir()
    text = json.dumps([INSPECTED])
    path.write_text(ENGINE.format(python=sys.executable, inspected=text))
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[SigningKey, Path]:
    private, public = make_key_pair(tmp_path / "keys")
    return SigningKey(private), public


def stated(engine: Path, pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> Path:
    monkeypatch.setenv("GTRANS_SIGNING_KEY", str(pair[0].path))
    runpy.run_path(str(IMAGES / "statement.py"))["main"](name, tmp_path / "out")
    return tmp_path / "out"


def test_a_built_image_is_described_signed_and_verified(engine, pair, tmp_path, monkeypatch):
    folder = stated(engine, pair, tmp_path, monkeypatch, f"{NAME}@sha256:{DIGEST}")
    sbom = folder / "image-sbom.cdx.json"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.read_text()) is None
    listed = {one["name"] for one in json.loads(sbom.read_text())["components"]}
    assert {"torch", "mlflow"} <= listed
    provenance = (folder / "provenance.intoto.json").read_bytes()
    said = read_statement(provenance, pair[1], "it")
    assert {one["name"]: one["digest"]["sha256"] for one in said["subject"]} == {
        NAME: DIGEST,
        sbom.name: sha256_file(sbom),
    }
    build = said["predicate"]["buildDefinition"]
    materials = {one["name"]: one["digest"] for one in build["resolvedDependencies"]}
    assert materials["python:3.11"] == {"sha256": BASE}
    assert materials["requirements.lock"] == {"sha256": "d" * 64}
    assert materials["source"] == {"gitCommit": "c" * 40}
    found = verify_folder(folder, TrustPolicy(pair[1]), f"sha256:{DIGEST}")
    assert (found.digest, found.checked) == (DIGEST, ("signature", "provenance", "SBOM"))


class TestVerify:
    @pytest.fixture
    def folder(self, pair, tmp_path: Path) -> Path:
        facts = image_facts(NAME, INSPECTED)
        write_image_statement(facts, '{"components": [{}]}', tmp_path / "out", pair[0])
        return tmp_path / "out"

    def test_without_a_digest_in_the_name_it_is_the_id(self, folder, pair):
        assert verify_folder(folder, TrustPolicy(pair[1])).digest == "f" * 64

    def test_another_image_or_another_sbom_is_refused_whoever_signed_the_folder(self, folder, pair):
        with pytest.raises(ModelError, match="expected 0000"):
            verify_folder(folder, TrustPolicy(pair[1]), "0" * 64)
        (folder / "image-sbom.cdx.json").write_text("{}")
        sign_folder(folder, pair[0])
        for trust in (TrustPolicy(pair[1]), TrustPolicy(unsigned="allow")):
            with pytest.raises(ModelError, match=r"image-sbom\.cdx\.json"):
                verify_folder(folder, trust)

    def test_what_somebody_else_stated_is_refused(self, folder, pair, tmp_path: Path):
        private, _ = make_key_pair(tmp_path / "others")
        facts = image_facts(NAME, INSPECTED)
        write_image_statement(facts, "{}", folder, SigningKey(private))
        sign_folder(folder, pair[0])
        with pytest.raises(ModelError, match=r"provenance\.intoto\.json"):
            verify_folder(folder, TrustPolicy(pair[1]))


@pytest.mark.parametrize("label", LABELS)
def test_an_image_that_is_not_ours_is_one_line(label: str):
    inspected = json.loads(json.dumps(INSPECTED))
    del inspected["Config"]["Labels"][label]
    with pytest.raises(ConfigError, match="`make image` built"):
        image_facts(NAME, inspected)
    inspected["Config"]["Labels"][label] = "\x1b[2J"
    if "sha256" in label or "base" in label:
        with pytest.raises(ConfigError, match="a sha256 was expected"):
            image_facts(NAME, inspected)


@pytest.mark.parametrize("inspected", [{}, {"Config": None}, {"Config": {"Labels": None}}])
def test_an_engine_that_tells_nothing(inspected):
    with pytest.raises(ConfigError, match="`make image` built"):
        image_facts(NAME, inspected)


@pytest.mark.parametrize("said", ["", "[]", "{}", "[1]", '[["name"]]', '[["a", "1", "", "x"]]'])
def test_an_image_that_does_not_list_its_packages_is_one_line(
    said: str, engine: Path, tmp_path: Path
):
    described = f"echo '{json.dumps([INSPECTED])}'"
    engine.write_text(f"#!/bin/sh\nif [ $1 = image ]; then {described}; else echo '{said}'; fi\n")
    with pytest.raises(ConfigError, match="packages"):
        runpy.run_path(str(IMAGES / "statement.py"))["main"](NAME, tmp_path / "out")


def test_an_image_that_is_not_there_is_one_line(tmp_path: Path):
    engine = tmp_path / "podman"
    engine.write_text("#!/bin/sh\necho 'Error: none: image not known' >&2; exit 125\n")
    engine.chmod(0o755)
    ended = subprocess.run(
        [sys.executable, str(IMAGES / "statement.py"), "none", str(tmp_path / "out")],
        env=os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 3
    assert ended.stderr == "error: podman image inspect: Error: none: image not known\n"


def test_the_build_gives_each_label_that_is_read():
    container = (IMAGES / "Containerfile").read_text()
    for label in LABELS:
        assert f"{label}=" in container
    build = (IMAGES / "build.sh").read_text()
    for argument in ("LOCK_SHA256", "SOURCE_SHA256", "GIT_SHA", "VERSION", "BASE"):
        assert f"--build-arg {argument}=" in build
        assert f"ARG {argument}\n" in container

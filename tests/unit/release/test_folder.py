"""One folder, all files, signed as a whole where there is a key."""

from __future__ import annotations

import json
from dataclasses import replace

from gtrans_core.release.folder import write_release
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.signature import verify_folder

FILES = {"MODEL_CARD.md", "lineage.json", "sbom.cdx.json", "approval.json", "report.html"}
FILES |= {"provenance.intoto.json"}


def test_all_files_and_a_signature_over_them(facts, tmp_path):
    private, public = make_key_pair(tmp_path / "keys")
    folder = tmp_path / "release"
    write_release(facts, folder, SigningKey(private))
    assert {path.name for path in folder.iterdir()} == FILES | {"detector.sig", "model.sig"}
    verify_folder(folder, public, "the release")
    approval = json.loads((folder / "approval.json").read_text())
    assert (approval["who"], approval["why"], approval["previous"]) == ("ada", "new lamp", 2)
    assert (approval["model"], approval["version"], approval["move"]) == ("gtrans-bottle", 3, 7)
    assert approval["gate"]["verdict"] == "passed"
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["lineage"]["git_sha"] == "abc"
    assert lineage["files"]["trans.safetensors"] == "1" * 64
    assert (folder / "report.html").read_bytes() == b"<html>"


def test_without_keys_there_is_no_signature(facts, tmp_path):
    write_release(replace(facts, signature=None), tmp_path / "release", None)
    assert {path.name for path in (tmp_path / "release").iterdir()} == FILES

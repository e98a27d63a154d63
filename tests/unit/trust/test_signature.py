"""A signature covers every file of a folder, and only the holder of the key makes one."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from gtrans_core.errors import ModelError
from gtrans_core.trust.keys import SigningKey, make_key_pair
from gtrans_core.trust.signature import SIGNATURE_NAME, sign_folder, verify_folder


@dataclass
class Signed:
    folder: Path
    key: SigningKey
    public_key: Path

    @property
    def signature(self) -> Path:
        return self.folder / SIGNATURE_NAME

    def verify(self, **options) -> None:
        verify_folder(self.folder, self.public_key, "the model", **options)


@pytest.fixture
def signed(tmp_path, monkeypatch) -> Signed:
    monkeypatch.setenv("GTRANS_SIGNING_KEY_PASSWORD", "pass word")
    private, public = make_key_pair(tmp_path / "keys")
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors")
    (folder / "code" / "module.py").write_text("print()")
    key = SigningKey(private, b"pass word")
    sign_folder(folder, key)
    return Signed(folder, key, public)


def test_as_signed_it_passes_wherever_it_is(signed):
    signed.folder = signed.folder.rename(signed.folder.with_name("elsewhere"))
    signed.verify()
    signed.verify(whole=False)


def test_signing_again_replaces_the_signature(signed):
    (signed.folder / "more.json").write_text("{}")
    sign_folder(signed.folder, signed.key)
    signed.verify()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "MLmodel").write_text("other"), "file MLmodel was changed after it was"),
        (lambda f: (f / "code/module.py").unlink(), "file code/module.py is missing"),
        (lambda f: (f / "code/evil.py").touch(), "file code/evil.py is not covered"),
        (lambda f: (f / ".gitignore").touch(), "file .gitignore is not covered"),
        (lambda f: (f / "link").symlink_to("/etc/hostname"), "link is a link, which no signature"),
        (lambda f: (f / "link").symlink_to("code/module.py"), "link is a link, which no signature"),
        (lambda f: (f / "code/link").symlink_to("nowhere"), "code/link is a link, which no"),
        (lambda f: (f / "code/safetensors").mkdir(), "code/safetensors is an empty folder, which"),
        (lambda f: (f / "code/\x1b[2J\n").mkdir(), r"code/\\x1b\[2J\\n is an empty folder, which"),
        (lambda f: (f / "a/b/c").mkdir(parents=True), "a/b/c is an empty folder, which no"),
        (lambda f: os.mkfifo(f / "code/pipe"), "code/pipe is no plain file, which no signature"),
        (lambda f: os.mknod(f / "s", stat.S_IFSOCK | 0o600), "s is no plain file, which no"),
        (lambda f: (f / "twin").hardlink_to(f / "MLmodel"), "file twin is not covered"),
        (lambda f: (f / "mlmodel").write_text("flavors"), "file mlmodel is not covered"),
        (lambda f: (f / "MLmodel.").write_text("flavors"), "file MLmodel. is not covered"),
        (lambda f: (f / "MLmodel\n").write_text("flavors"), r"file MLmodel\\n is not covered"),
        (lambda f: (f / "MLmodel ").write_text("flavors"), "file MLmodel  is not covered"),
        (lambda f: (f / "model.sig.").write_text("{}"), "file model.sig. is not covered"),
        (lambda f: (f / "code/model.sig").write_text("{}"), "file code/model.sig is not covered"),
        (
            lambda f: (f / "code/registered_model_meta").touch(),
            "file code/registered_model_meta is not covered",
        ),
        (lambda f: (f / SIGNATURE_NAME).unlink(), r"not signed \(model.sig is missing\)"),
    ],
)
def test_what_is_not_as_signed_is_refused_by_name(signed, damage, message):
    damage(signed.folder)
    with pytest.raises(ModelError, match=f"the model: {message}"):
        signed.verify()


def test_files_that_loaders_leave_may_be_passed_over_and_no_others(signed):
    (signed.folder / "registered_model_meta").touch()
    signed.verify()
    cache = signed.folder / "code/__pycache__"
    cache.mkdir()
    (cache / "module.cpython-311.pyc").touch()
    with pytest.raises(ModelError, match=r"file code/__pycache__/module\.cpython-311\.pyc is not"):
        signed.verify()
    signed.verify(whole=False)
    assert not cache.exists()  # nobody signed it, so nobody runs it
    (signed.folder / "code/safetensors").mkdir()
    (signed.folder / "code/safetensors/__init__.py").touch()
    with pytest.raises(ModelError, match=r"file code/safetensors/__init__\.py is not covered"):
        signed.verify(whole=False)
    (signed.folder / "code/safetensors/__init__.py").unlink()
    (signed.folder / "MLmodel").write_text("other")
    with pytest.raises(ModelError, match="file MLmodel was changed"):
        signed.verify(whole=False)
    (signed.folder / "MLmodel").unlink()
    with pytest.raises(ModelError, match="MLmodel"):
        signed.verify(whole=False)


def test_a_folder_that_holds_nothing_is_neither_signed_nor_kept(signed):
    """Of a model that somebody's own copy of the code went into, say; Python would import it."""
    for empty in ("code/gone/deeper", "code/safetensors"):
        (signed.folder / empty).mkdir(parents=True)
    with pytest.raises(ModelError, match="code/safetensors is an empty folder"):
        sign_folder(signed.folder, signed.key)
    (signed.folder / "code/gone/__pycache__").mkdir()
    (signed.folder / "code/gone/__pycache__/module.cpython-311.pyc").touch()
    signed.verify(whole=False)
    assert [path.name for path in (signed.folder / "code").iterdir()] == ["module.py"]
    signed.verify()


def test_a_folder_that_cannot_be_listed_is_refused(signed, monkeypatch):
    (signed.folder / "code/hidden").mkdir()
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("hidden"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ModelError, match=r"code/hidden is a folder that cannot be read \(Permissi"):
        signed.verify()


def test_a_folder_nested_deeper_than_calls_may_be_is_refused(signed):
    deep = str(signed.folder)
    for _ in range(1500):
        deep += "/d"
        os.mkdir(deep)  # noqa: PTH102
    try:
        with pytest.raises(ModelError, match=r"^the model: d/d/d/.* is an empty folder"):
            signed.verify()
    finally:
        os.removedirs(deep)  # deeper than pytest can remove it


def test_another_key_is_named(signed, tmp_path):
    _, signed.public_key = make_key_pair(tmp_path / "others")
    with pytest.raises(ModelError, match=r"signed with another key than that of .*others"):
        signed.verify()


def test_claiming_a_key_does_not_help(signed, tmp_path):
    """A forger signs with a key of his own, and writes the plant's key into the bundle."""
    forger, _ = make_key_pair(tmp_path / "others")
    plants = json.loads(signed.signature.read_text())["verificationMaterial"]
    sign_folder(signed.folder, SigningKey(forger, b"pass word"))
    bundle = json.loads(signed.signature.read_text())
    for material in (plants, {**plants, "publicKey": {}}):
        bundle["verificationMaterial"] = material
        signed.signature.write_text(json.dumps(bundle))
        with pytest.raises(ModelError, match=r"model\.sig was changed, or is not a signature"):
            signed.verify()


@pytest.mark.parametrize("content", ["", "{}", "[]", "null", '{"verificationMaterial": {}}', "ä"])
def test_no_signature_at_all(signed, content):
    signed.signature.write_text(content, encoding="latin-1")
    with pytest.raises(ModelError, match=r"model\.sig is damaged"):
        signed.verify()


@pytest.mark.parametrize("whole", [True, False])
def test_the_note_of_origin_is_a_plain_file_or_refused(signed, whole: bool):
    note = signed.folder / "registered_model_meta"
    note.mkdir()
    (note / "evil.py").touch()
    with pytest.raises(ModelError, match=r"registered_model_meta/evil\.py is not covered"):
        signed.verify(whole=whole)
    (note / "evil.py").unlink()
    note.rmdir()
    note.symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match="the model: "):
        signed.verify(whole=whole)


@pytest.mark.parametrize("folder", ["code/safetensors", "artifacts"])
def test_a_linked_folder_is_refused(signed, tmp_path: Path, folder: str):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "__init__.py").touch()
    (signed.folder / folder).symlink_to(outside)
    with pytest.raises(ModelError, match="the model: "):
        signed.verify()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a": NaN}', "9" * 5000, "{}", "null", '{"verificationMaterial": 1}']
)
def test_a_hostile_signature_is_one_line(signed, text: str):
    signed.signature.write_text(text)
    with pytest.raises(ModelError, match=r"^the model: model\.sig is damaged") as refused:
        signed.verify()
    assert "\n" not in str(refused.value)

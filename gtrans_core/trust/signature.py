"""One file that vouches for a folder: an OpenSSF model signature over the sha256 of every file."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import ModelError
from gtrans_core.storage.documents import OddDocumentError, parse_json, read_bounded
from gtrans_core.system.text import printable
from gtrans_core.trust.keys import SigningKey, read_public_key

if TYPE_CHECKING:
    from model_signing.hashing import Config as HashingConfig

SIGNATURE_NAME = "model.sig"
"""In the folder that it signs; every other file is covered."""
NOTE_OF_ORIGIN = "registered_model_meta"
"""The one file that MLflow adds to a signed model where it is stored; nothing imports it."""
_SIGNATURE_LIMIT = 1 << 24
"""Bytes; it takes 200 for each file."""

_MISMATCHES = {
    "was changed after it was signed": re.compile(r"Hash mismatch for '([^']+)'"),
    "is missing": re.compile(r"Missing files in model '[^']*': ([^\"']+)"),
    "is not covered by the signature": re.compile(r"Extra files found in model '[^']*': ([^\"']+)"),
}


def sign_folder(folder: Path, key: SigningKey) -> Path:
    """Sign every file of a folder, replacing a signature that is there.

    Returns:
        The signature's file.

    Raises:
        ConfigError: when the key cannot be read.
        ModelError: for an empty folder, a link or anything else that is no plain file.
    """
    from model_signing.signing import Config

    key.public_pem()
    _require_files_only(folder, str(folder))
    signature = folder / SIGNATURE_NAME
    config = Config()  # type: ignore[no-untyped-call]
    config.set_hashing_config(_hashing())
    # The library asks for a str, but hands the password to code that takes bytes only.
    config.use_elliptic_key_signer(private_key=key.path, password=key.password)  # type: ignore[arg-type]
    try:
        config.sign(folder, signature)
    except ValueError as error:
        raise ModelError(f"{folder}: cannot be signed ({error})") from None
    return signature


def verify_folder(folder: Path, public_key: Path, name: str, *, whole: bool = True) -> None:
    """Check that the holder of a key signed this very folder.

    Args:
        folder: what was signed, with its signature.
        public_key: PEM file.
        name: what an error calls the folder.
        whole: whether Python's ``__pycache__`` and empty folders are refused, as everything is that
            nobody signed, but for MLflow's ``registered_model_meta``. Otherwise they are deleted
            (``forget_leavings``).

    Raises:
        ConfigError: when the public key cannot be read.
        ModelError: naming the file that was changed, is missing or does not belong, the folder that
            is empty, what is neither, or saying that the signature is missing, damaged or of
            another key.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing.verifying import Config

    read_public_key(public_key)
    signature = folder / SIGNATURE_NAME
    if not signature.is_file():
        raise ModelError(
            f"{name}: not signed ({SIGNATURE_NAME} is missing); `gtrans sign` signs what you trust"
        )
    _require_json(signature, name)
    if not whole:
        forget_leavings(folder)
    config = Config()  # type: ignore[no-untyped-call]
    passed_over = [NOTE_OF_ORIGIN] if _is_plain_file(folder / NOTE_OF_ORIGIN) else []
    config.set_hashing_config(_hashing(*passed_over))
    config.use_elliptic_key_verifier(public_key=public_key)
    try:
        config.verify(folder, signature)
    except InvalidSignature:
        raise ModelError(f"{name}: {SIGNATURE_NAME} was changed, or is not a signature") from None
    except Exception as error:  # noqa: BLE001 - the library raises nearly anything; all is refusal
        told = _told(str(error), public_key)
        if not told:
            _require_files_only(folder, name)
        raise ModelError(f"{name}: {told or _unknown(str(error))}") from None
    _require_files_only(folder, name)


def forget_leavings(folder: Path) -> None:
    """Delete every ``__pycache__`` below a folder, and every folder without a file.

    Nobody signed them. Python makes bytecode again, and would import an empty folder as a package.
    """
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache, ignore_errors=True)
    for inside, _, _ in os.walk(folder, topdown=False):
        if Path(inside) != folder:
            with contextlib.suppress(OSError):  # it holds something
                Path(inside).rmdir()


def _require_files_only(folder: Path, name: str) -> None:
    """A signature names plain files: let nothing else pass, nor a folder that holds none.

    Raises:
        ModelError: naming it.
    """
    for entry, kind in _all_but_files(folder):
        shown = printable(Path(entry).relative_to(folder).as_posix())
        raise ModelError(f"{name}: {shown} is {kind}, which no signature covers; delete it")


def _all_but_files(folder: Path) -> Iterator[tuple[str, str]]:
    """What is neither a plain file nor a folder with something in it, and what it is."""
    inside = [str(folder)]
    while inside:  # a loop, since somebody may have nested it deeper than calls may be
        here = inside.pop()
        try:
            with os.scandir(here) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield here, f"a folder that cannot be read ({error.strerror})"
            continue
        if not entries:
            yield here, "an empty folder"
        for entry in entries:
            if entry.is_symlink():
                yield entry.path, "a link"
            elif entry.is_dir():
                inside.append(entry.path)
            elif not entry.is_file():
                yield entry.path, "no plain file"


def _is_plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _require_json(signature: Path, name: str) -> None:
    """The library that reads it next has no bounds of its own."""
    data = read_bounded(signature, "a signature", ModelError, _SIGNATURE_LIMIT)
    try:
        parse_json(data)
    except OddDocumentError as wrong:
        raise ModelError(f"{name}: {SIGNATURE_NAME} is damaged ({wrong})") from None


def _hashing(*passed_over: str) -> HashingConfig:
    from model_signing.hashing import Config

    # By default git's files would be left out, and strangers could hide files among them.
    config = Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[SIGNATURE_NAME, *passed_over], ignore_git_paths=False)


def _told(text: str, public_key: Path) -> str:
    """What the library says in our words; empty where we have none."""
    if text.startswith("Key mismatch"):
        return f"signed with another key than that of {public_key}"
    text = text.replace("\\'", "'")  # it quotes a list of quoted names
    for meaning, pattern in _MISMATCHES.items():
        found = pattern.search(text)
        if found:
            return f"file {found[1]} {meaning}"
    return ""


def _unknown(text: str) -> str:
    first_line = text.partition("\n")[0][:200]
    return f"{SIGNATURE_NAME} is damaged, or a file cannot be read ({first_line})"

"""One file that vouches for a folder: an OpenSSF model signature over the sha256 of every file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import ModelError
from gtrans_core.trust.keys import SigningKey, read_public_key

if TYPE_CHECKING:
    from model_signing.hashing import Config as HashingConfig

SIGNATURE_NAME = "model.sig"
"""In the folder that it signs; every other file is covered."""

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
        ModelError: for a link or anything else that is no plain file.
    """
    from model_signing.signing import Config

    key.public_pem()
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
        whole: whether a file that the signature does not cover is refused too.

    Raises:
        ConfigError: when the public key cannot be read.
        ModelError: naming the file that was changed, is missing or does not belong, or saying that
            the signature is missing, damaged or of another key.
    """
    from cryptography.exceptions import InvalidSignature
    from model_signing.verifying import Config

    read_public_key(public_key)
    signature = folder / SIGNATURE_NAME
    if not signature.is_file():
        raise ModelError(
            f"{name}: not signed ({SIGNATURE_NAME} is missing); `gtrans sign` signs what you trust"
        )
    config = Config()  # type: ignore[no-untyped-call]
    config.set_hashing_config(_hashing()).set_ignore_unsigned_files(not whole)
    config.use_elliptic_key_verifier(public_key=public_key)
    try:
        config.verify(folder, signature)
    except InvalidSignature:
        raise ModelError(f"{name}: {SIGNATURE_NAME} was changed, or is not a signature") from None
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise ModelError(f"{name}: {_reason(str(error), public_key)}") from None


def _hashing() -> HashingConfig:
    from model_signing.hashing import Config

    # By default git's files would be left out, and strangers could hide files among them.
    config = Config()  # type: ignore[no-untyped-call]
    return config.set_ignored_paths(paths=[SIGNATURE_NAME], ignore_git_paths=False)


def _reason(text: str, public_key: Path) -> str:
    """What the library says, in our words where they are better."""
    if text.startswith("Key mismatch"):
        return f"signed with another key than that of {public_key}"
    text = text.replace("\\'", "'")  # it quotes a list of quoted names
    for meaning, pattern in _MISMATCHES.items():
        found = pattern.search(text)
        if found:
            return f"file {found[1]} {meaning}"
    first_line = text.partition("\n")[0][:200]
    return f"{SIGNATURE_NAME} is damaged, or a file cannot be read ({first_line})"

"""Key pairs on an elliptic curve, given by the user as PEM files; a private key is never logged."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.storage import write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.hashes import HashAlgorithm

SIGNING_KEY = "GTRANS_SIGNING_KEY"
SIGNING_KEY_PASSWORD = "GTRANS_SIGNING_KEY_PASSWORD"  # noqa: S105  # nosec B105  # a name
PRIVATE_NAME, PUBLIC_NAME = "signing-key.pem", "signing-key.pub.pem"
CURVES = ("secp256r1", "secp384r1", "secp521r1")
"""What OpenSSF's model-signing takes: NIST P-256, P-384 and P-521."""


@dataclass(frozen=True)
class SigningKey:
    """A private key's file; ``password`` opens it where it is encrypted."""

    path: Path
    password: bytes | None = field(default=None, repr=False)

    @classmethod
    def from_environment(cls) -> SigningKey | None:
        """The key that ``GTRANS_SIGNING_KEY`` names; None where it names none.

        Raises:
            ConfigError: when the file cannot be read, opened with the password, or is no such key.
        """
        path = os.environ.get(SIGNING_KEY, "")
        if not path:
            return None
        password = os.environ.get(SIGNING_KEY_PASSWORD, "")
        key = cls(Path(path).expanduser(), password.encode() or None)
        key.public_pem()
        return key

    def public_pem(self) -> bytes:
        """The public half, as PEM.

        Raises:
            ConfigError: as ``from_environment``.
        """
        return _pem(_checked(self._private().public_key(), self.path))

    def sign(self, data: bytes) -> bytes:
        """ECDSA over the bytes, hashed as suits the curve, in DER; of equal bytes always the same.

        Raises:
            ConfigError: as ``from_environment``.
        """
        from cryptography.hazmat.primitives.asymmetric import ec

        private = self._private()
        public = _checked(private.public_key(), self.path)
        signature: bytes = private.sign(
            data, ec.ECDSA(_hash_of(public), deterministic_signing=True)
        )
        return signature

    def _private(self) -> Any:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        try:
            return load_pem_private_key(_read(self.path, "signing key"), self.password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise ConfigError(
                f"{self.path}: not a private key in PEM that {SIGNING_KEY_PASSWORD} opens"
            ) from None


def read_public_key(path: Path) -> bytes:
    """A public key file, checked, as PEM.

    Raises:
        ConfigError: when it cannot be read or is not a public key on a curve we take.
    """
    return _pem(_public(path))


def is_signature(signature: bytes, data: bytes, public_key: Path) -> bool:
    """Whether ``SigningKey.sign`` of the other half of a key file made a signature of these bytes.

    Raises:
        ConfigError: as ``read_public_key``.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec

    public = _public(public_key)
    try:
        public.verify(signature, data, ec.ECDSA(_hash_of(public)))
    except InvalidSignature:
        return False
    return True


def make_key_pair(folder: Path) -> tuple[Path, Path]:
    """Write a new key pair (NIST P-256) to a new folder.

    The private key is encrypted when ``GTRANS_SIGNING_KEY_PASSWORD`` is set, and readable by its
    owner alone in any case.

    Returns:
        The private and the public key's file.

    Raises:
        StorageError: when the folder is there already or cannot be made: no key is overwritten.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    password = os.environ.get(SIGNING_KEY_PASSWORD, "").encode()
    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )
    try:
        folder.mkdir(mode=0o700, parents=True)
        (folder / PRIVATE_NAME).touch(mode=0o600)
        (folder / PRIVATE_NAME).write_bytes(private)
    except OSError as error:
        raise StorageError(f"{folder}: no new folder for keys ({error.strerror})") from None
    write_atomic(folder / PUBLIC_NAME, _pem(key.public_key()))
    return folder / PRIVATE_NAME, folder / PUBLIC_NAME


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {what} cannot be read ({error.strerror})") from None


def _public(path: Path) -> EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(_read(path, "public key"))
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path}: not a public key in PEM; `gtrans keys` makes one") from None
    return _checked(public, path)


def _hash_of(public: EllipticCurvePublicKey) -> HashAlgorithm:
    """What OpenSSF's model-signing hashes with before it signs."""
    from cryptography.hazmat.primitives import hashes

    known: dict[int, HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384()}
    return known.get(public.curve.key_size, hashes.SHA512())


def _checked(public: object, path: Path) -> EllipticCurvePublicKey:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    if not isinstance(public, EllipticCurvePublicKey) or public.curve.name not in CURVES:
        raise ConfigError(f"{path}: expected a key on the curve {', '.join(CURVES)}")
    return public


def _pem(public: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

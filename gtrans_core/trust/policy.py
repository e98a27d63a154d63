"""What a model must show before it is loaded, and what a machine needs before it trains one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

from gtrans_core.errors import ConfigError
from gtrans_core.trust.keys import SIGNING_KEY, SigningKey, read_public_key
from gtrans_core.trust.seen import SeenApprovals
from gtrans_core.trust.signature import verify_folder

Unsigned = Literal["refuse", "allow"]
PUBLIC_KEY = "GTRANS_PUBLIC_KEY"
UNSIGNED_MODELS = "GTRANS_UNSIGNED_MODELS"
_ALLOW = "allow"


@dataclass(frozen=True)
class TrustPolicy:
    """Whose models are loaded. With a public key: only those signed with its private key.

    Attributes:
        public_key: PEM file.
        unsigned: without a public key, whether models are loaded all the same.
        seen: remembers the newest approvals; None: nothing does.
    """

    public_key: Path | None = None
    unsigned: Unsigned = "refuse"
    seen: SeenApprovals | None = field(default=None, compare=False)

    @classmethod
    def from_environment(cls) -> TrustPolicy:
        """``GTRANS_PUBLIC_KEY`` and ``GTRANS_UNSIGNED_MODELS``: where there is no profile.

        Raises:
            ConfigError: when the latter is neither ``refuse`` nor ``allow``.
        """
        unsigned = os.environ.get(UNSIGNED_MODELS, "") or "refuse"
        return cls(public_key_of_environment(), read_unsigned(unsigned, UNSIGNED_MODELS))

    @property
    def unsigned_now(self) -> Unsigned:
        """``unsigned``; but ``refuse`` with a public key."""
        return self.unsigned if self.public_key is None else "refuse"

    def verify(self, folder: Path, name: str, *, whole: bool = True) -> None:
        """Let a signed folder pass, or say why not (``whole``: see ``verify_folder``).

        Raises:
            ConfigError: when signatures are asked for and there is no public key to check them.
            ModelError: when the folder is not as it was signed, or not signed.
        """
        if self.public_key is not None:
            verify_folder(folder, self.public_key, name, whole=whole)
        elif self.unsigned != _ALLOW:
            raise ConfigError(
                f"{name}: models must be signed here, and no public key is known to verify it "
                f"with: set public_key in the profile, or {PUBLIC_KEY} (or allow unsigned models "
                f'for good reason: unsigned_models = "allow", {UNSIGNED_MODELS}=allow)'
            )

    def require_key(self, key: SigningKey | None) -> None:
        """Refuse to make a model that nobody here would load.

        Raises:
            ConfigError: when models must be signed and there is no key, or it is not the other half
                of the public key.
        """
        if self.public_key is None:
            require_signing(self.unsigned, key)
        elif key is None:
            raise ConfigError(
                f"models must be signed with the private half of {self.public_key} here, and "
                f"{SIGNING_KEY} names no private key"
            )
        elif key.public_pem() != read_public_key(self.public_key):
            raise ConfigError(
                f"{key.path} is not the private key of {self.public_key}: what it signs would be "
                "refused"
            )


def require_signing(unsigned: Unsigned, key: SigningKey | None) -> None:
    """Refuse to make an unsigned model where those are refused.

    Raises:
        ConfigError: when there is no key.
    """
    if key is None and unsigned != _ALLOW:
        raise ConfigError(
            f"models must be signed here, and {SIGNING_KEY} names no private key: `gtrans keys "
            'NEW-DIR` makes one (or, in the profile, unsigned_models = "allow")'
        )


def read_unsigned(text: str, origin: str) -> Unsigned:
    """``refuse`` or ``allow``.

    Raises:
        ConfigError: for anything else; ``origin`` names it.
    """
    for known in get_args(Unsigned):
        if text == known:
            return cast("Unsigned", text)
    raise ConfigError(f"{origin} is '{text}': expected refuse or allow")


def public_key_of_environment() -> Path | None:
    """The file that ``GTRANS_PUBLIC_KEY`` names."""
    path = os.environ.get(PUBLIC_KEY, "")
    return Path(path).expanduser() if path else None

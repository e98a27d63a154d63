"""The profile that a call from Python means."""

from __future__ import annotations

import os
from pathlib import Path

from gtrans.pipelines.profiles import Profile, load_profile

_STORE = "GTRANS_STORE"


def profile_of(name: str | Path, store: str | Path | None) -> Profile:
    """A profile by name or file; its store may be given, or named by ``GTRANS_STORE``.

    Raises:
        ConfigError: naming the file, the key and what was expected.
    """
    chosen = os.environ.get(_STORE) or None if store is None else str(store)
    return load_profile(str(name), store=chosen)

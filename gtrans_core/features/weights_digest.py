"""What weights a config stands for, told without loading them, and without torch."""

from __future__ import annotations

from pathlib import Path

from gtrans_core.config import AgnConfig
from gtrans_core.features.lite import PACKAGES
from gtrans_core.storage import sha256_file


def weights_digest(config: AgnConfig) -> str | None:
    """sha256 (hex) of the file of weights, or the seed that they are drawn from.

    None where that cannot be told from what lies here: the weights may be others by now, or there
    are none.
    """
    scheme, _, rest = config.weights.partition(":")
    if scheme == "random":
        return config.weights
    path = None
    if scheme == "package" and rest in PACKAGES:
        path = PACKAGES[rest].path()
    elif scheme == "file" and not rest.startswith("~"):
        path = Path(rest)
    return None if path is None or not path.is_file() else sha256_file(path)

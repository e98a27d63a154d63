"""Gates: the thresholds of ``categories/*.toml``, read and laid over each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gtrans_core.evaluation.gate import Gate
from gtrans_core.storage.documents import read_toml

_FOLDER = Path(__file__).parent / "categories"
_DEFAULT = "default.toml"


def load_gate(category: str = "", path: Path | None = None) -> Gate:
    """The gate of a category: the default, over it ``CATEGORY.toml``, over it the caller's file.

    Raises:
        ConfigError: naming the file, the key and what was expected.
    """
    files = [_FOLDER / _DEFAULT, _own_file(category), path]
    values: dict[str, Any] = {}
    for file in filter(None, files):
        values = _laid_over(values, read_toml(file, "a gate"))
        Gate.read(values, str(file))  # so that an error names the file that made it
    return Gate.read(values, "gate")


def _own_file(category: str) -> Path | None:
    # Looked up in the list of files: a category's name is never made part of a path.
    return next((file for file in _FOLDER.glob("*.toml") if file.stem == category), None)


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """``above`` wins, key by key, also inside tables."""
    merged = dict(below)
    for key, value in above.items():
        old = below.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = {**old, **value}
        merged[key] = value
    return merged

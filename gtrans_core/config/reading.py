"""Reading a config: a TOML file or a preset, then ``key=value`` overrides."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gtrans_core.config.earlier import current_key, current_layout
from gtrans_core.config.sections import GTransConfig
from gtrans_core.errors import ConfigError
from gtrans_core.storage.documents import read_toml

_PRESETS = Path(__file__).parents[1] / "presets"


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> GTransConfig:
    """Read a TOML file (or the defaults) and apply ``section.key=value`` overrides.

    Args:
        path: a file, or the bare name of a preset, such as ``paper-resnet34``.
        overrides: applied in order.

    Raises:
        ConfigError: naming the file or the override, the key, and what was expected.
    """
    values: dict[str, Any] = {}
    origin = "config"
    if path is not None:
        path = _preset_or_file(path)
        origin = str(path)
        values = _moved(read_toml(path, "a config"), origin)
    _refuse_two_names(overrides)
    for override in overrides:
        key, value = _parse_override(override)
        _put(values, current_key(key), value)
    return GTransConfig.checked(values, origin)


def _preset_or_file(path: Path) -> Path:
    """A bare name is a preset's; a file without ``.toml`` in the working folder is read as well."""
    if path.suffix == ".toml" or len(path.parts) != 1:
        return path
    preset = _PRESETS / f"{path.name}.toml"
    if preset.is_file():
        return preset
    if path.exists():
        return path
    known = ", ".join(sorted(file.stem for file in _PRESETS.glob("*.toml")))
    raise ConfigError(f"preset '{path}' is not known: use one of {known}, or a .toml file")


def _moved(values: dict[str, Any], origin: str) -> dict[str, Any]:
    try:
        moved: dict[str, Any] = current_layout(values)
    except ValueError as error:
        raise ConfigError(f"{origin}: {error}") from None
    return moved


def _refuse_two_names(overrides: Sequence[str]) -> None:
    """An override takes the place of what a file says, but not of another override's meaning."""
    given: dict[str, Any] = {}
    for override in overrides:
        _put(given, *_parse_override(override))
    _moved(given, "--set")


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    node = values
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: {section} is not a section")
        node = child
    node[leaf] = value


def _parse_override(override: str) -> tuple[str, Any]:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {key.strip() or '='}: expected section.key=value")
    return key.strip(), _parse_value(text.strip())


def _parse_value(text: str) -> Any:
    """A TOML value where it is one (numbers, booleans, lists), else the text itself."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text

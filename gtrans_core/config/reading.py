"""Reading a config: a TOML file or a preset, then ``key=value`` overrides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gtrans_core.config.earlier import current_key, current_layout
from gtrans_core.config.region import FOREGROUND, PACKED, packed_mask
from gtrans_core.config.sections import GTransConfig
from gtrans_core.errors import ConfigError
from gtrans_core.storage.documents import OddDocumentError, parse_toml, read_toml

_PRESETS = Path(__file__).parents[1] / "presets"

_Knob = tuple[str, Any]
"""``section.key``, and its value."""


def load_config(
    path: Path | None = None,
    overrides: Sequence[str] = (),
    knobs: Mapping[str, Any] | None = None,
) -> GTransConfig:
    """Read a TOML file (or the defaults) and apply ``section.key=value`` overrides.

    Args:
        path: a file, or the bare name of a preset, such as ``paper-resnet34``.
        overrides: applied in order.
        knobs: the same from Python, applied last: ``{"seed": 1, "training": {"epochs": 2}}``.

    Raises:
        ConfigError: naming the file or the override, the key, and what was expected.
    """
    values: dict[str, Any] = {}
    origin = "config"
    if path is not None:
        path = _preset_or_file(path)
        origin = str(path)
        values = _moved(read_toml(path, "a config"), origin)
        _pack_region(values, path.parent)
    given = [*map(_parse_override, overrides), *_in_sections(knobs or {})]
    _refuse_two_names(given)
    for key, value in given:
        _put(values, current_key(key), value)
    _pack_region(values, Path())
    return GTransConfig.checked(values, origin)


def _pack_region(values: dict[str, Any], folder: Path) -> None:
    """A mask's file, named from ``folder``, becomes the mask itself."""
    image = values.get("image")
    region = image.get("region") if isinstance(image, dict) else None
    if not isinstance(image, dict) or not isinstance(region, str):
        return
    if region != FOREGROUND and not region.startswith(PACKED):
        values["image"] = {**image, "region": packed_mask(folder / region)}


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


def _in_sections(knobs: Mapping[str, Any]) -> Iterator[_Knob]:
    for name, value in knobs.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", of_key) for key, of_key in value.items())
        else:
            yield name, value


def _refuse_two_names(given: Sequence[_Knob]) -> None:
    """An override takes the place of what a file says, but not of another override's meaning."""
    values: dict[str, Any] = {}
    for key, value in given:
        _put(values, key, value)
    _moved(values, "--set")


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, leaf = key.split(".")
    node = values
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigError(f"--set {key}: {section} is not a section")
        node = child
    node[leaf] = value


def _parse_override(override: str) -> _Knob:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set {key.strip() or '='}: expected section.key=value")
    return key.strip(), _parse_value(text.strip())


def _parse_value(text: str) -> Any:
    """A TOML value where it is one (numbers, booleans, lists), else the text itself."""
    try:
        return parse_toml(f"v = {text}")["v"]
    except OddDocumentError:
        return text

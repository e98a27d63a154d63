"""Small files of facts, JSON or TOML: read whole, up to a limit, or refused in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gtrans_core.errors import ConfigError, GTransError

JSON_LIMIT = 1 << 30
"""Bytes; the manifest of five million images has as many."""
TOML_LIMIT = 1 << 20
"""Bytes; such files are written by hand."""

Model = TypeVar("Model", bound=BaseModel)


def read_json(path: Path, model: type[Model], what: str, error: type[GTransError]) -> Model:
    """The facts that a JSON file holds.

    Args:
        path: the file.
        model: the facts' type.
        what: what the file should be, such as ``a manifest``.
        error: raised where it is not that.

    Raises:
        GTransError: an ``error`` that names the file, and the field where one is wrong.
    """
    data = _read(path, what, error, JSON_LIMIT)
    try:
        return model.model_validate_json(data)
    except ValidationError as wrong:
        raise error(f"{path}: not {what}: {describe_validation(wrong)}") from None


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The values of a TOML file; ``what`` says what it should be, such as ``a profile``.

    Raises:
        ConfigError: naming the file, when it cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(_read(path, what, ConfigError, TOML_LIMIT).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise ConfigError(f"{path}: not valid TOML: {wrong}") from None


def _read(path: Path, what: str, error: type[GTransError], limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as wrong:
        raise error(f"{path}: cannot be read ({wrong.strerror}); expected {what}") from None
    if len(data) > limit:
        raise error(f"{path}: more than {limit:,} bytes, so not {what}")
    return data


def describe_validation(error: ValidationError) -> str:
    """All of a pydantic error in one line: each key and what was expected, never a value.

    A value may be a secret.
    """
    return "; ".join(_describe_one(dict(item)) for item in error.errors())


def _describe_one(item: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "value"
    if item["type"] == "extra_forbidden":
        return f"unknown key '{key}' (see `gtrans config` for every key)"
    return f"{key}: {item['msg'].removeprefix('Value error, ')}"

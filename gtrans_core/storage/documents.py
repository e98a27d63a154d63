"""The one reader of JSON, TOML and YAML from outside: read whole, up to a limit, or refused.

Whatever such a text holds (a thousand brackets, NaN, a number of a million digits), it is refused
in one line. Nobody else parses what comes from outside (tests/unit/storage/test_documents.py).
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gtrans_core.errors import ConfigError, GTransError
from gtrans_core.storage.sealed import SealError, unsealed

JSON_LIMIT = 1 << 30
"""Bytes; the manifest of five million images has as many."""
TEXT_LIMIT = 1 << 26
"""Bytes of JSON that is read without a type: answers of servers, tags, headers."""
TOML_LIMIT = 1 << 20
"""Bytes; such files are written by hand. YAML has the same."""
MOST_LEVELS = 64
"""Of brackets within brackets."""
_MOST_DIGITS = 40
"""Of a whole number; with 309 it would be beyond any float."""

Model = TypeVar("Model", bound=BaseModel)


class Facts(BaseModel):
    """Facts in a file: frozen, without unknown keys, every number finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class OddDocumentError(ValueError):
    """A text that is not what its format asks for; says why in one clause, without its values."""


def parse_json(data: bytes | bytearray | str) -> Any:
    """The values of a JSON text from outside.

    Raises:
        OddDocumentError: for a text that is too long, nested too deeply, no JSON, or holds a number
            that is not finite or has too many digits.
    """

    def read(text: str) -> Any:
        return json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_moderate
        )

    return _parsed(data, TEXT_LIMIT, read)


def parse_toml(data: bytes | str) -> dict[str, Any]:
    """The values of a TOML text from outside.

    A ``nan`` or ``inf`` is left to whoever knows the key, which an error should name.

    Raises:
        OddDocumentError: as ``parse_json``.
    """
    values: dict[str, Any] = _parsed(data, TOML_LIMIT, tomllib.loads)
    return values


def parse_yaml(data: bytes | str) -> Any:
    """The values of a YAML text from outside; every scalar stays text, so that none is computed.

    Raises:
        OddDocumentError: as ``parse_json``.
    """
    import yaml

    class Loader(yaml.BaseLoader):
        """Makes lists, dicts and text, and knows no tag."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):  # forty of them can stand for 2^40 values
                raise OddDocumentError("an alias in it stands for something else")
            return super().compose_node(parent, index)

    def read(text: str) -> Any:
        try:
            return yaml.load(text, Loader=Loader)  # noqa: S506  # nosec B506
        except yaml.YAMLError as wrong:
            raise OddDocumentError(" ".join(str(wrong).split())[:200]) from None

    return _parsed(data, TOML_LIMIT, read)


def _parsed(data: bytes | bytearray | str, limit: int, read: Callable[[str], Any]) -> Any:
    if len(data) > limit:
        raise OddDocumentError(f"it has more than {limit:,} bytes")
    try:
        found = read(data if isinstance(data, str) else data.decode("utf-8"))
    except OddDocumentError:
        raise
    except RecursionError:
        raise OddDocumentError("it is nested too deeply") from None
    except ValueError as wrong:
        digits = "integer string conversion" in str(wrong)
        raise OddDocumentError("a number has too many digits" if digits else str(wrong)) from None
    _refuse_depth(found)
    return found


def _refuse_depth(value: Any) -> None:
    level = [value]
    for _ in range(MOST_LEVELS + 1):
        below: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
        if not below:
            return
        level = below
    raise OddDocumentError("it is nested too deeply")


def _refuse_constant(name: str) -> NoReturn:
    raise OddDocumentError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise OddDocumentError(f"{text[:20]} is not a finite number")
    return number


def _moderate(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise OddDocumentError("a number has too many digits")
    return int(text)


def read_json(path: Path, model: type[Model], what: str, error: type[GTransError]) -> Model:
    """The facts that a JSON file holds, which may be ``sealed``.

    Args:
        path: the file.
        model: the facts' type.
        what: what the file should be, such as ``a manifest``.
        error: raised where it is not that.

    Raises:
        GTransError: an ``error`` that names the file, and the field where one is wrong.
    """
    data = read_bounded(path, what, error, JSON_LIMIT)
    try:
        return model.model_validate_json(unsealed(data))
    except SealError as wrong:
        raise error(f"{path}: not {what}: {wrong}") from None
    except ValidationError as wrong:
        raise error(f"{path}: not {what}: {describe_validation(wrong)}") from None


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The values of a TOML file; ``what`` says what it should be, such as ``a profile``.

    Raises:
        ConfigError: naming the file, when it cannot be read or is not TOML.
    """
    try:
        return parse_toml(read_bounded(path, what, ConfigError, TOML_LIMIT))
    except OddDocumentError as wrong:
        raise ConfigError(f"{path}: not valid TOML: {wrong}") from None


def read_bounded(path: Path, what: str, error: type[GTransError], limit: int = TEXT_LIMIT) -> bytes:
    """A file's bytes, if they are no more than ``limit``.

    Raises:
        GTransError: an ``error`` that names the file.
    """
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

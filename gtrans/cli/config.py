"""``gtrans config``: every knob, written from the typed config as a file to start from."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

_WIDTH = 98
_NO_BREAK = "\u00a0"


def show_config(
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="NAME|FILE", help="A preset or a file to start from."),
    ] = None,
) -> None:
    """Print every knob with its type, value and meaning, as a config file to start from.

    Keep what you change: `gtrans config > mine.toml`, then `gtrans run --config mine.toml`.
    """
    from gtrans_core.config import load_config

    values = load_config(config)
    typer.echo("# gtrans run --config FILE, or --set section.key=value for a single knob\n")
    for line in toml_lines(values):
        typer.echo(line)


def toml_lines(config: BaseModel, section: str = "") -> Iterator[str]:
    """A config as TOML: its values, with meaning and type as comments."""
    from pydantic import BaseModel

    sections: dict[str, BaseModel] = {}
    for name, field in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, BaseModel):
            sections[f"{section}{name}"] = value
        else:
            yield from _comment(field)
            yield f"# {name} is not set" if value is None else _assignment(name, value)
    for name, inner in sections.items():
        yield f"\n[{name}]  # {_first_line(type(inner))}"
        yield from toml_lines(inner, f"{name}.")


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "").split())


def _comment(field: FieldInfo) -> Iterator[str]:
    """Meaning and type in lines that fit a terminal; the type is not torn apart."""
    kind = _type_name(field.annotation).replace(" ", _NO_BREAK)
    for line in textwrap.wrap(f"{_meaning(field)} [{kind}]", _WIDTH, break_on_hyphens=False):
        yield f"# {line.replace(_NO_BREAK, ' ')}"


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().partition("\n")[0]


def _assignment(name: str, value: Any) -> str:
    # JSON writes booleans, numbers, strings and lists as TOML does.
    return f"{name} = {json.dumps(value)}"


def _type_name(kind: Any) -> str:
    """A type as a person would say it: ``int``, ``last or best_held_out``, ``int or none``."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is NoneType:
        return "none"
    if origin is None:
        return str(kind.__name__)
    if origin is Annotated:
        return _type_name(inner[0])
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple:
        return f"list of {len(inner)} {_type_name(inner[0])}"
    return " or ".join(map(_type_name, inner))

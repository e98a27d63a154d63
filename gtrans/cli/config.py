"""``gtrans config``: every knob, written from the typed config as a file to start from."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, get_args, get_origin

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

    from gtrans_core.config import GTransConfig

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


class Knob(NamedTuple):
    """One knob: its name in its section, its value, what it sets (Markdown), its type in words."""

    name: str
    value: Any
    meaning: str
    kind: str


def toml_lines(config: GTransConfig) -> Iterator[str]:
    """A config as TOML: its values, with meaning and type as comments."""
    for name, section in sections_of(config).items():
        if name:
            yield f"\n[{name}]  # {first_line(type(section))}"
        for knob in knobs_of(section):
            yield from _comment(knob)
            yield f"# {knob.name} is not set" if knob.value is None else _assignment(knob)


def sections_of(config: GTransConfig) -> dict[str, BaseModel]:
    """The sections of a config by name; the config itself, for the knobs at its top, is ``""``."""
    from pydantic import BaseModel

    values = ((name, getattr(config, name)) for name in type(config).model_fields)
    return {"": config} | {name: value for name, value in values if isinstance(value, BaseModel)}


def knobs_of(section: BaseModel) -> list[Knob]:
    """The knobs of a section, in the order of their definition; its own sections are none."""
    from pydantic import BaseModel

    values = ((name, getattr(section, name)) for name in type(section).model_fields)
    fields = type(section).model_fields
    return [
        Knob(name, value, _meaning(fields[name]), _type_name(fields[name].annotation))
        for name, value in values
        if not isinstance(value, BaseModel)
    ]


def first_line(model: type[BaseModel]) -> str:
    """What a section is for."""
    return (model.__doc__ or "").strip().partition("\n")[0]


def _meaning(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("``", "`").split())


def _comment(knob: Knob) -> Iterator[str]:
    """Meaning and type in lines that fit a terminal; the type is not torn apart."""
    kind = knob.kind.replace(" ", _NO_BREAK)
    text = f"{knob.meaning} [{kind}]".replace("`", "")
    for line in textwrap.wrap(text, _WIDTH, break_on_hyphens=False):
        yield f"# {line.replace(_NO_BREAK, ' ')}"


def _assignment(knob: Knob) -> str:
    # JSON writes booleans, numbers, strings and lists as TOML does.
    return f"{knob.name} = {json.dumps(knob.value)}"


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
    if origin is tuple and inner[-1] is Ellipsis:
        return f"list of {_type_name(inner[0])}"
    if origin is tuple:
        return f"list of {len(inner)} {_type_name(inner[0])}"
    return " or ".join(map(_type_name, inner))

"""The one reader of JSON, TOML and YAML from outside: whatever comes, one line or the values."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gtrans_core.errors import ConfigError, ModelError
from gtrans_core.storage.documents import (
    MOST_LEVELS,
    Facts,
    OddDocumentError,
    parse_json,
    parse_toml,
    parse_yaml,
    read_json,
    read_toml,
)

ROOT = Path(__file__).resolve().parents[3]
LONG = "9" * 5000
HOSTILE_JSON = {
    "brackets": "[" * 100_000,
    "objects": '{"a":' * 100_000,
    "closed brackets": "[" * 200 + "]" * 200,
    "NaN": '{"a": NaN}',
    "infinity": "[-Infinity]",
    "a number beyond any float": "[1e999]",
    "a number of 5000 digits": LONG,
    "a whole number beyond any float": f"[{LONG[:400]}]",
    "no JSON": "{",
    "no text": b"\xff\xfe\x00",
    "nothing": "",
}
HOSTILE_TOML = {
    "brackets": "a=" + "[" * 50_000,
    "tables": "a=" + "{b=" * 5000,
    "dots": ".".join("a" * 5000) + "=1",
    "a number of 5000 digits": "a=" + LONG,
    "no text": b"\xff",
    "too long": "#" * (2 << 20),
}
HOSTILE_YAML = {
    "brackets": "[" * 5000,
    "closed brackets": "[" * 100 + "]" * 100,
    "a tag that runs code": "a: !!python/object/apply:os.system [echo]\n- b",
    "no text": b"\xff",
    "too long": "#" * (2 << 20),
}
CASES = [
    *((parse_json, name, text) for name, text in HOSTILE_JSON.items()),
    *((parse_toml, name, text) for name, text in HOSTILE_TOML.items()),
    *((parse_yaml, name, text) for name, text in HOSTILE_YAML.items()),
]


@pytest.mark.parametrize(
    ("parse", "text"),
    [case[::2] for case in CASES],
    ids=[f"{case[0].__name__}-{case[1]}" for case in CASES],
)
def test_hostile_texts_end_in_one_line(parse: Callable[[Any], Any], text: str | bytes):
    with pytest.raises(OddDocumentError) as refused:
        parse(text)
    said = str(refused.value)
    assert said
    assert "\n" not in said
    assert len(said) < 300
    assert LONG[:50] not in said


def test_what_is_right_is_read():
    deep = "[" * MOST_LEVELS + "]" * MOST_LEVELS
    assert parse_json(b'{"a": [1, 2.5, true, null]}') == {"a": [1, 2.5, True, None]}
    assert parse_json(deep) is not None
    assert parse_toml("a = 1e-5") == {"a": 1e-5}
    assert parse_yaml("a: {b: [1, no]}") == {"a": {"b": ["1", "no"]}}  # scalars stay text


def test_an_alias_bomb_in_yaml_stays_small():
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    with pytest.raises(OddDocumentError, match="an alias"):
        parse_yaml(bomb)


class Numbers(Facts):
    of: dict[str, float]


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "1e999", LONG, LONG[:400], "[" * 5000, '"x"']
)
def test_facts_in_a_file_are_finite_or_refused_with_the_files_name(tmp_path: Path, number: str):
    file = tmp_path / "facts.json"
    file.write_text(f'{{"of": {{"a": {number}}}}}')
    with pytest.raises(ModelError) as refused:
        read_json(file, Numbers, "facts", ModelError)
    assert str(refused.value).startswith(f"{file}: not facts: ")
    assert "\n" not in str(refused.value)


def test_a_hostile_profile_is_refused_with_the_files_name(tmp_path: Path):
    file = tmp_path / "profile.toml"
    file.write_text("a=" + "[" * 50_000)
    with pytest.raises(ConfigError, match=r"profile\.toml: not valid TOML: it is nested too dee"):
        read_toml(file, "a profile")


OWN_PROCESSES = {
    "gtrans_core/training/train_together.py",
    "pipelines/embedded/local.py",
    "pipelines/embedded/local_worker.py",
    "pipelines/embedded/step_server.py",
}
"""They read what this very program wrote to its own child, or the child to it."""
PARSERS = {("json", "load"), ("json", "loads"), ("yaml", "load"), ("yaml", "safe_load")}
PARSERS |= {("tomllib", "load"), ("tomllib", "loads"), ("pickle", "load"), ("pickle", "loads")}


def test_nobody_else_parses_what_comes_from_outside():
    found = set()
    for package in ("gtrans", "gtrans_core", "pipelines", "components"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if (
                    isinstance(node, ast.Attribute)
                    and isinstance(node.value, ast.Name)
                    and (node.value.id, node.attr) in PARSERS
                ):
                    found.add(file.relative_to(ROOT).as_posix())
    # The model's script, and an export's, run where there is nothing of ours to import.
    scripts = {
        "gtrans_core/tracking/registry/served_model.py",
        "gtrans_core/detector/templates/example.py",
    }
    assert found == OWN_PROCESSES | scripts | {"gtrans_core/storage/documents.py"}

"""What a config or a profile holds may be a secret: an error names its key, never its value."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from gtrans.cli.main import app
from gtrans.pipelines.profiles import Profile, load_profile
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.errors import ConfigError, GTransError, TrackingError, scrubbed

CANARY = "CANARY7d41"
VALUES = (
    CANARY,
    [CANARY],
    {"a": CANARY, "b": [1, {"c": CANARY}]},
    [[{"name": CANARY}]],
    f"https://me:{CANARY}@host/x?token={CANARY}",
    f"s3://bucket/x?X-Amz-Signature={CANARY}",
    f"tcp://me:{CANARY}/{CANARY}@host",
)


def keys_of(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """The path of every field, sections and what tables and lists hold included."""
    for name, field in model.model_fields.items():
        yield (name,)
        for inner, between in models_in(field.annotation):
            yield from ((name, *between, *rest) for rest in keys_of(inner))


def models_in(kind: Any, between: tuple[str, ...] = ()) -> Iterator[tuple[type[BaseModel], tuple]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, between
    origin = getattr(kind, "__origin__", None)
    place = {tuple: ("0",), dict: ("train",)}.get(origin, ())
    for part in get_args(kind):
        yield from models_in(part, (*between, *place))


def nested(keys: tuple[str, ...], value: Any) -> Any:
    for key in reversed(keys):
        value = [value] if key == "0" else {key: value}
    return value


def laid_over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: laid_over(below.get(key), value) for key, value in above.items()}
    return above


def said_by(read: Callable[..., object], *arguments: object) -> str:
    """The one line that a user gets; empty where all is well."""
    try:
        read(*arguments)
    except ConfigError as error:
        return str(error)
    return ""


WHOLE = {
    "store": "/plant/store",
    "tracking_uri": "http://mlflow:5000",
    "cluster": {
        "volume": {"claim": "v", "mount": "/plant"},
        "env": {"A": CANARY},
        "secrets": [{"name": "s", "env": {"key": "B"}}],
    },
}


def as_toml(value: Any) -> str:
    """JSON is TOML but for tables."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(key)} = {as_toml(one)}" for key, one in value.items())
        return f"{{{inner}}}"
    if isinstance(value, list):
        return f"[{', '.join(as_toml(one) for one in value)}]"
    return json.dumps(value)


@pytest.mark.parametrize("keys", [*keys_of(Profile)], ids=".".join)
def test_no_value_of_a_profile(tmp_path: Path, keys: tuple[str, ...]) -> None:
    for value in VALUES:
        whole = laid_over(WHOLE, nested(keys, value))
        path = tmp_path / "mine.toml"
        path.write_text("".join(f"{key} = {as_toml(one)}\n" for key, one in whole.items()))
        said = said_by(load_profile, str(path))
        assert CANARY not in said
        assert "\n" not in said
        assert not said or said.startswith(f"{path}: ")


@pytest.mark.parametrize("keys", [*keys_of(GTransConfig)], ids=".".join)
def test_no_value_of_a_config(tmp_path: Path, keys: tuple[str, ...]) -> None:
    path = tmp_path / "mine.toml"
    for value in VALUES:
        whole = nested(keys, value)
        path.write_text("".join(f"{key} = {as_toml(one)}\n" for key, one in whole.items()))
        named, text = ".".join(keys), as_toml(value)
        said = [
            said_by(load_config, path),
            said_by(GTransConfig.from_json, json.dumps(whole)),
            said_by(load_config, None, [f"{named}={text}"]),
            said_by(load_config, None, [f"{named}.x.y={text}"]),
        ]
        assert CANARY not in "".join(said)


def test_a_field_that_is_missing_shows_none_of_the_others(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'store = "/x"\n[cluster.env]\nPASSWORD = "{CANARY}"\n')
    result = CliRunner().invoke(app, ["submit", "-c", "demo", "--profile", str(path)])
    assert isinstance(result.exception, ConfigError)
    assert CANARY not in str(result.exception)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"MLflow at http://me:{CANARY}@host:1/x: gone", "MLflow at http://host:1/x: gone"),
        (f"see https://h/x?token={CANARY}&a=1, twice", "see https://h/x twice"),
        (f"pg://me:p@ss/{CANARY}@db/x is down", "pg://db/x is down"),
        (f"AWS_SECRET_ACCESS_KEY={CANARY} is wrong", "AWS_SECRET_ACCESS_KEY=*** is wrong"),
        (f"signature of {CANARY}-env differs", "signature of *** differs"),
    ],
)
def test_every_error_is_scrubbed(monkeypatch: pytest.MonkeyPatch, text: str, shown: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", f"{CANARY}-env")
    assert str(TrackingError(text)) == shown
    assert str(GTransError(f"{TrackingError(text)}; more")) == f"{shown}; more"


@pytest.mark.parametrize(
    "text",
    [
        "models:/gtrans-part@challenger is not there",
        "http://kubeflow:8888/#/runs/details/1 failed",
        "trans.token_width=4: expected 8 or more",
        "s3://bucket/a@b/c and http://host:80/a@b",
        "grün  und\n  blau",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert scrubbed(text) == text

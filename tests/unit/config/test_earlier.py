"""What an earlier version wrote means what it meant: knobs that have moved to ``[research]``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from gtrans_core.config import (
    GTransConfig,
    ResearchConfig,
    StoredConfig,
    canonical_json,
    current_key,
    earlier_layout,
    load_config,
)
from gtrans_core.errors import ConfigError
from tests.support.old_store import expected

MOVED = [
    ("training", "author_compat", True),
    ("scoring", "map_weights", "image"),
    ("scoring", "fusion", "sum"),
    ("trans", "guidance", "none"),
    ("trans", "layer_norm", False),
]
ALONE = {"scoring": {"scene_share": 0}}
"""So that any fusion will do."""


def whole(section: str, knob: str, value: Any) -> dict[str, dict[str, Any]]:
    return ALONE | {section: {**ALONE.get(section, {}), knob: value}}


def written(folder: Path, values: dict[str, dict[str, Any]]) -> Path:
    path = folder / "mine.toml"
    path.write_text(
        "".join(
            f"[{section}]\n" + "".join(f"{k} = {json.dumps(v)}\n" for k, v in knobs.items())
            for section, knobs in values.items()
        )
    )
    return path


def test_these_are_all_knobs_of_research() -> None:
    """A knob that is no older than the section has to be put into ``training_key`` by itself."""
    assert {knob for _, knob, _ in MOVED} == ResearchConfig.model_fields.keys()


@pytest.mark.parametrize(("section", "knob", "value"), MOVED)
def test_a_knob_means_the_same_by_either_name(
    tmp_path: Path, section: str, knob: str, value: object
) -> None:
    wanted = GTransConfig.model_validate(whole("research", knob, value))
    assert getattr(wanted.research, knob) == value != getattr(ResearchConfig(), knob)
    for where in (section, "research"):
        values = whole(where, knob, value)
        assert load_config(written(tmp_path, values)) == wanted
        override = [f"{where}.{knob}={json.dumps(value)}", "scoring.scene_share=0"]
        assert load_config(overrides=override) == wanted
    # Where these are absent, they were not there.
    stored = whole(section, knob, value)
    now = {"image_maps": None, "memory_share": 0.5, "trans_maps": 1}
    stored["scoring"] = stored["scoring"] | now
    if "training" in stored:
        later = {"calibration": "cross_fitted", "light_augmentation": "auto"}
        stored["training"] |= {"effort": "standard"} | later
    stored["trans"] = {"backbone": wanted.trans.backbone, **stored.get("trans", {})}
    assert GTransConfig.from_json(json.dumps(stored)) == wanted
    assert TypeAdapter(StoredConfig).validate_python(stored) == wanted
    assert TypeAdapter(StoredConfig).validate_json(json.dumps(stored)) == wanted


@pytest.mark.parametrize(("section", "knob", "value"), MOVED)
def test_both_names_with_different_values_are_refused(
    tmp_path: Path, section: str, knob: str, value: object
) -> None:
    usual = getattr(ResearchConfig(), knob)
    values = whole(section, knob, value) | {"research": {knob: usual}}
    path, both = written(tmp_path, values), f"{section}.{knob} and research.{knob} are one knob"
    overrides = [f"{section}.{knob}={value}".lower(), f"research.{knob}={usual}".lower()]
    for read, origin in (
        (lambda: load_config(path), f"{path}: "),
        (lambda: load_config(overrides=overrides), "--set: "),
        (lambda: GTransConfig.from_json(json.dumps(values)), "config: "),
    ):
        with pytest.raises(ConfigError) as caught:
            read()
        assert str(caught.value).startswith(origin)
        assert both in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=both):
        TypeAdapter(StoredConfig).validate_python(values)
    values["research"][knob] = value  # equal ones are one meaning
    assert getattr(GTransConfig.from_json(json.dumps(values)).research, knob) == value


@pytest.mark.parametrize("knob", ["training.author_compat", "research.author_compat"])
@pytest.mark.parametrize("section", ["training", "research"])
def test_an_override_comes_after_the_file_by_either_name(
    tmp_path: Path, section: str, knob: str
) -> None:
    path = written(tmp_path, {section: {"author_compat": True}})
    assert load_config(path).research.author_compat
    assert not load_config(path, [f"{knob}=false"]).research.author_compat
    assert not load_config(Path("paper-resnet34"), [f"{knob}=false"]).research.author_compat


@pytest.mark.parametrize("wrong", ["training = 3", "research = 3", "[training]\nfusion = 'sum'"])
def test_what_was_wrong_before_is_wrong(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"{wrong}\n")
    with pytest.raises(ConfigError, match=r"training|research"):
        load_config(path)


def test_the_earlier_layout_is_that_of_an_earlier_version_to_the_letter() -> None:
    text = expected()["half"]["config"]
    values = json.loads(text)
    config = GTransConfig.from_json(text)
    found = earlier_layout(config.model_dump(mode="json"))
    assert "research" not in found
    # Less what came later.
    known = {
        name: {knob: value for knob, value in section.items() if knob in values[name]}
        for name, section in found.items()
        if isinstance(section, dict) and name in values
    }
    assert canonical_json({"seed": found["seed"], **known}) == text


def test_the_current_key_of_a_knob() -> None:
    for section, knob, _ in MOVED:
        assert current_key(f"{section}.{knob}") == f"research.{knob}"
    for key in ("seed", "training.epochs", "agn.fusion", "research.fusion", "fusion"):
        assert current_key(key) == key


def test_a_config_stored_before_steps_counts_epochs() -> None:
    stored = {"training": {"batch_size": 4}}
    assert GTransConfig.from_json(json.dumps(stored)).training.epochs == 8
    assert GTransConfig.from_json(json.dumps(stored)).training.calibration == "held_out"
    stored["training"] |= {"steps": 100}
    assert GTransConfig.from_json(json.dumps(stored)).training.epochs is None
    for config in (GTransConfig(), GTransConfig.from_json(json.dumps({"seed": 1}))):
        assert config.training.epochs is None
        assert GTransConfig.from_json(config.to_json()) == config


def test_a_config_stored_before_copies_in_other_light_has_none() -> None:
    for training in ({"batch_size": 4}, {"effort": "fast"}):
        stored = GTransConfig.from_json(json.dumps({"training": training})).training
        assert stored.light_augmentation == "off"
    assert GTransConfig().training.light_augmentation == "auto"

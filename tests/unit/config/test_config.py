"""Every knob is documented, has a default, survives JSON, and is refused in one line when wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from gtrans_core.config import (
    AgnConfig,
    EvaluationConfig,
    GTransConfig,
    ImageConfig,
    ResearchConfig,
    ScoringConfig,
    StoredConfig,
    TrainingConfig,
    TransConfig,
    canonical_json,
    digest_of,
    flatten,
    load_config,
)
from gtrans_core.errors import ConfigError


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, exclude_min=True, exclude_max=high == 1)


sizes = st.integers(1, 64).map(lambda n: 32 * n)
configs = st.builds(
    GTransConfig,
    seed=st.integers(0, 2**31 - 1),
    image=st.tuples(sizes, sizes, st.booleans()).map(
        lambda s: ImageConfig(size=max(s[:2]), crop=min(s[:2]) if s[2] else None)
    ),
    agn=st.builds(
        AgnConfig,
        backbone=st.text(min_size=1),
        weights=st.text(),
        weights_sha256=st.sampled_from(["", "0f" * 32]),
    ),
    trans=st.builds(TransConfig, passes=st.integers(1, 8)),
    training=st.builds(
        TrainingConfig,
        epochs=st.integers(1, 1000),
        learning_rate=between(0, 1),
        held_out_fraction=between(0, 1),
        optimizer=st.sampled_from(["adam", "adamw"]),
        selection=st.sampled_from(["last", "best_held_out"]),
    ),
    scoring=st.builds(
        ScoringConfig,
        smoothing_sigma=st.floats(0, 64),
        top_percent=between(0, 100),
        scene_share=st.floats(0, 1),
    ),
    evaluation=st.builds(EvaluationConfig, false_alarm_rate=between(0, 1)),
    research=st.builds(ResearchConfig, layer_norm=st.booleans(), author_compat=st.booleans()),
)


def refused(*overrides: str, path: Path | None = None) -> str:
    """The one line that a user gets."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@given(configs)
def test_json_round_trip(config: GTransConfig) -> None:
    text = config.to_json()
    assert GTransConfig.from_json(text) == config
    assert GTransConfig.from_json(text).to_json() == text


def test_defaults_fill_what_json_leaves_out() -> None:
    assert GTransConfig.from_json("{}") == GTransConfig() == load_config()
    assert GTransConfig.from_json('{"seed": 3}') == GTransConfig(seed=3)


def test_a_stored_config_keeps_what_it_had_before_there_was_a_knob() -> None:
    """A schedule's, or that beside trained weights: what it does not say could not be said then."""
    config = GTransConfig(
        image=ImageConfig(resize="exact"),
        trans=TransConfig(backbone="agn", passes=1),
        scoring=ScoringConfig(image_maps=0, memory_share=0),
    )
    stored = config.model_dump(mode="json")
    del stored["trans"]["backbone"], stored["image"]["resize"], stored["memory"]
    del stored["scoring"]["image_maps"], stored["scoring"]["memory_share"]
    assert GTransConfig.from_json(json.dumps(stored)) == config
    assert TypeAdapter(StoredConfig).validate_python(stored) == config
    new = load_config(overrides=["trans.passes=1", "image.size=224"])
    assert (new.trans.backbone, new.image.resize) == (GTransConfig().trans.backbone, "fast")


@pytest.mark.parametrize("fusion", ["product", "sum"])
def test_published_fusions_have_no_place_for_the_scene_model(fusion: str) -> None:
    assert "set scoring.scene_share = 0" in refused(f"research.fusion={fusion}")
    config = load_config(overrides=[f"research.fusion={fusion}", "scoring.scene_share=0"])
    assert config.scoring.memory_share > 0
    assert not config.has_memory  # nor for the patch memory


@pytest.mark.parametrize("override", ["image.size=80", "image.crop=48"])
def test_the_coarsest_tap_divides_the_input(override: str) -> None:
    message = refused(override)
    assert "must be a multiple of the coarsest stride of agn.taps" in message
    load_config(overrides=[override, "agn.taps=[4, 8, 16]"])


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        GTransConfig().seed = 1


def knobs() -> list[tuple[str, type[BaseModel], str]]:
    """Every (section, model, field) that holds a value."""
    rows: list[tuple[str, type[BaseModel], str]] = []
    for name, field in GTransConfig.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            rows += [(name, kind, knob) for knob in kind.model_fields]
        else:
            rows.append(("", GTransConfig, name))
    return rows


@pytest.mark.parametrize(("section", "model", "knob"), knobs())
def test_every_knob_has_a_line_and_a_default(
    section: str, model: type[BaseModel], knob: str
) -> None:
    field = model.model_fields[knob]
    assert field.description
    assert len(field.description.split("\n")) <= 3  # what it sets, and when: two lines
    assert not field.is_required()
    assert model.__doc__
    assert f"{section}.{knob}".lstrip(".") in flatten(GTransConfig())


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=7", 7),
        ("training.learning_rate=5e-4", 5e-4),
        ("research.layer_norm=false", False),
        ("agn.taps=[4, 8, 16]", (4, 8, 16)),
        ("agn.weights=random:0", "random:0"),
        ("agn.weights=s3://bucket/a=b", "s3://bucket/a=b"),
        ("agn.backbone=resnet18", "resnet18"),
        ('agn.backbone="resnet18"', "resnet18"),
        ("image.crop=224", 224),
        (" scoring.image_score = max ", "max"),
    ],
)
def test_override_sets_one_knob_to_a_typed_value(override: str, value: object) -> None:
    config = load_config(overrides=[override])
    key = override.partition("=")[0].strip()
    node: object = config
    for part in key.split("."):
        node = getattr(node, part)
    assert node == value
    assert type(node) is type(value)
    default, row = flatten(GTransConfig()), flatten(config)
    assert {name for name in row if row[name] != default[name]} == {key}


def test_file_then_overrides_in_order(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("seed = 1\n[training]\nepochs = 2\nbatch_size = 8\n")
    config = load_config(path, ["training.epochs=3", "training.epochs=4", "image.size=64"])
    assert (config.seed, config.training.epochs, config.training.batch_size) == (1, 4, 8)
    assert config.image.size == 64


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epoch=1", ["unknown key 'training.epoch'"]),
        ("trainig.epochs=1", ["unknown key 'trainig'"]),
        ("speed=1", ["unknown key 'speed'"]),
        ("training.epochs=many", ["training.epochs", "integer"]),
        ("training.epochs=0", ["training.epochs", "greater than or equal to 1"]),
        ("training.learning_rate=nan", ["training.learning_rate", "finite"]),
        ("scoring.smoothing_sigma=inf", ["scoring.smoothing_sigma", "finite"]),
        ("training.held_out_fraction=1", ["training.held_out_fraction", "less than 1"]),
        ("image.size=250", ["image.size", "multiple of 16"]),
        ("image.crop=512", ["image: crop is larger than size"]),
        ("agn.taps=[4, 8]", ["agn.taps"]),
        ("agn.weights_sha256=abc", ["agn.weights_sha256", "should match pattern"]),
        ("training.optimizer=sgd", ["training.optimizer", "'adamw' or 'adam'"]),
        ("seed.x=1", ["seed"]),
        ("seed", ["--set seed", "section.key=value"]),
        ("=1", ["--set =", "section.key=value"]),
    ],
)
def test_wrong_override_is_one_line(override: str, words: list[str]) -> None:
    message = refused(override)
    for word in words:
        assert word in message


SEVERAL = [
    f"{section}.{knob}"
    for section, model, knob in knobs()
    if "tuple[" in str(model.model_fields[knob].annotation)
]


@pytest.mark.parametrize("knob", SEVERAL)
@pytest.mark.parametrize("value", ["3.5", "[]", "[1, 2, 3, 4]", "[0.5, 'x']", "{x = 1}", "true"])
def test_a_knob_of_several_numbers_says_what_it_expects(knob: str, value: str) -> None:
    """Not pydantic's words for each type that the knob may have."""
    message = refused(f"{knob}={value}")
    assert message.startswith(f"config: {knob}: expected ")
    assert "such as " in message
    assert not any(word in message for word in ("tuple", "Input should", "Field required", ";"))


def test_strides_are_positive() -> None:
    assert {"image.tiles", "image.size", "image.region", "agn.taps"} < set(SEVERAL)
    assert "expected three strides" in refused("agn.taps=[0, 0, 0]")


def test_override_below_a_value_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("training = 3\n")
    assert "training is not a section" in refused("training.epochs=1", path=path)


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("sed = 1\n[training]\nepochs = 'x'\n[image]\nsize = 7\n")
    message = refused(path=path)
    assert str(path) in message
    for key in ("unknown key 'sed'", "training.epochs", "image.size"):
        assert key in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"seed = ", "not valid TOML"),
        (b"seed = 1\nseed = 2\n", "not valid TOML"),
        (b"name = \xff", "not valid TOML"),
        (b"seed = 'one'", "seed: "),
        (b"[training]\nlearning_rate = nan\n", "learning_rate: Input should be a finite number"),
    ],
)
def test_bad_file_is_one_line_that_names_it(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(content)
    message = refused(path=path)
    assert message.startswith(f"{path}: ")
    assert words in message


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "c.toml: cannot be read (No such file" in refused(path=tmp_path / "c.toml")
    assert "cannot be read (Is a directory)" in refused(path=tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"seed": NaN}'])
def test_bad_json_is_one_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        GTransConfig.from_json(text)
    assert "\n" not in str(caught.value)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(values)
def test_canonical_json_says_the_same_in_ascii(value: object) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, int]) -> None:
    backwards = dict(reversed(value.items()))
    assert canonical_json(value) == canonical_json(backwards)
    assert digest_of(value) == digest_of(backwards)


def test_canonical_json_is_fixed() -> None:
    """Keys of caches and trainings hang on these bytes."""
    value = {"b": [1, 2.5, True, None], "a": "é"}
    assert canonical_json(value) == '{"a":"\\u00e9","b":[1,2.5,true,null]}'
    # sha256sum of these bytes.
    assert digest_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_canonical_json_refuses_what_is_not_finite(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": number})


def test_equal_configs_have_equal_json_however_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[scoring]\nsmoothing_sigma = 2\n[agn]\ntaps = [8, 16, 32]\n")
    assert (
        load_config(path).to_json()
        == load_config(overrides=["scoring.smoothing_sigma=2.0"]).to_json()
    )


def test_flatten_is_one_row_of_plain_values() -> None:
    row = flatten(GTransConfig())
    assert row["seed"] == 0
    assert row["training.epochs"] == GTransConfig().training.epochs
    assert row["image.crop"] is None
    assert row["agn.taps"] == [8, 16, 32]
    assert len(row) == len(knobs())

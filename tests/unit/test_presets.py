"""The paper's two variants by name, with nothing left to a default."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import torch

from gtrans_core.config import GTransConfig, ResearchConfig, ScoringConfig, TransConfig, load_config
from gtrans_core.errors import ConfigError
from gtrans_core.network.backbone import backbone_spec, build_backbone
from gtrans_core.network.build import build_trans

PRESETS = ["paper-resnet18", "paper-resnet34"]


def preset(name: str) -> GTransConfig:
    return load_config(Path(name))


@pytest.mark.parametrize("name", PRESETS)
def test_the_papers_training_and_scores(name: str) -> None:
    config = preset(name)
    assert (config.image.size, config.image.crop) == (256, 224)
    assert config.agn.taps == (4, 8, 16)
    assert config.agn.weights == "hub:"
    assert config.trans.tokens_per_map == 8
    training = config.training
    assert (training.batch_size, training.optimizer, training.schedule) == (32, "adam", "power")
    assert (training.weight_decay, training.held_out_fraction) == (1e-4, 0.2)
    assert training.selection == "best_held_out"
    research = config.research
    assert (research.author_compat, research.guidance) == (True, "agn")
    assert (research.map_weights, research.fusion) == ("image", "product")


def test_resnet34_has_two_passes_and_a_norm() -> None:
    config = preset("paper-resnet34")
    assert config.agn.backbone == "resnet34.tv_in1k"
    assert config.trans == TransConfig(backbone="agn", token_width=256, passes=2)
    assert config.research.layer_norm
    assert config.training.learning_rate == 1e-3


def test_resnet18_has_wide_tokens_one_pass_and_no_norm() -> None:
    config = preset("paper-resnet18")
    assert config.agn.backbone == "resnet18.tv_in1k"
    assert config.trans == TransConfig(backbone="agn", token_width=1024, passes=1)
    assert not config.research.layer_norm
    assert config.training.learning_rate == 5e-4


@pytest.mark.parametrize("name", PRESETS)
def test_the_papers_network_does_not_change_with_the_products_defaults(name: str) -> None:
    values = tomllib.loads((files("gtrans_core") / f"presets/{name}.toml").read_text("utf-8"))
    assert values["trans"].keys() == TransConfig.model_fields.keys()
    assert values["research"].keys() == ResearchConfig.model_fields.keys()
    assert values["scoring"].keys() >= {"smoothing_sigma", "image_score"}
    assert values["scoring"].keys() <= ScoringConfig.model_fields.keys()
    assert "taps" in values["agn"]


@pytest.mark.parametrize("name", PRESETS)
def test_a_tagged_backbone_takes_weights_and_gives_a_student(name: str) -> None:
    """timm's name for torchvision's weights is a name like any other."""
    import timm

    config = preset(name)
    spec = backbone_spec(config.agn.backbone, config.agn.taps)
    assert spec.channels == (64, 128, 256)
    state = timm.create_model(config.agn.backbone.partition(".")[0]).state_dict()
    backbone, _ = build_backbone(config.agn.backbone, config.agn.taps, state)
    assert torch.equal(backbone.state_dict()["conv1.weight"], state["conv1.weight"])
    student = build_trans(spec, config).student
    assert not torch.equal(student.state_dict()["conv1.weight"], state["conv1.weight"])


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"agn.backbone resnet34.nope: .*nope") as caught:
        backbone_spec("resnet34.nope", (4, 8, 16))
    assert "\n" not in str(caught.value)


def test_overrides_come_after_the_preset() -> None:
    config = load_config(Path("paper-resnet34"), ["training.epochs=1", "agn.weights=random:0"])
    assert (config.training.epochs, config.agn.weights) == (1, "random:0")
    assert config.training.batch_size == 32


def test_an_unknown_name_lists_the_presets() -> None:
    with pytest.raises(ConfigError) as caught:
        preset("paper-resnet50")
    assert str(caught.value) == (
        "preset 'paper-resnet50' is not known: use one of paper-resnet18, paper-resnet34, "
        "or a .toml file"
    )


def test_a_file_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its name, unless it is a preset's: a preset means the same in every folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("mine", "mine.toml", "paper-resnet34"):
        Path(name).write_text("seed = 5\n")
    assert load_config(Path("mine")) == load_config(Path("mine.toml")) == GTransConfig(seed=5)
    assert load_config(Path("paper-resnet34")).seed == 0
    assert load_config(tmp_path / "paper-resnet34").seed == 5
    with pytest.raises(ConfigError, match=r"gone\.toml: cannot be read"):
        load_config(Path("gone.toml"))

"""Any timm backbone with maps at the taps serves as guide; any other is refused in one line."""

from __future__ import annotations

import pytest
import timm
import torch

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.errors import ConfigError
from gtrans_core.network.backbone import (
    BackboneSpec,
    agn_spec,
    backbone_spec,
    build_backbone,
    check_input_shape,
    fix_input_shape,
)
from gtrans_core.network.build import build_trans

CHANNELS = {
    "resnet18": (64, 128, 256),
    "resnet34": (64, 128, 256),
    "wide_resnet50_2": (256, 512, 1024),
    "tf_efficientnet_lite0": (24, 40, 112),
    "efficientnet_b0": (24, 40, 112),
    "convnext_tiny": (96, 192, 384),
    "dla34": (64, 128, 256),  # timm leaves out its first map: positions are not indices
}


def refused(name: str, taps: tuple[int, int, int] = (4, 8, 16)) -> str:
    with pytest.raises(ConfigError) as caught:
        backbone_spec(name, taps)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def size_refused(spec: BackboneSpec, size: int) -> str:
    with pytest.raises(ConfigError) as caught:
        check_input_shape(spec, (size, size))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", CHANNELS)
def test_three_maps_as_the_spec_says(name: str) -> None:
    backbone, spec = build_backbone(name, (4, 8, 16))
    assert spec == backbone_spec(name, (4, 8, 16))
    assert spec.channels == CHANNELS[name]
    with torch.no_grad():
        maps = backbone.eval()(torch.zeros(1, 3, 64, 96))
    assert [tuple(m.shape) for m in maps] == [
        (1, c, 64 // s, 96 // s) for c, s in zip(spec.channels, (4, 8, 16), strict=True)
    ]
    check_input_shape(spec, (256, 256))


def test_deeper_taps() -> None:
    backbone, spec = build_backbone("test_efficientnet", (8, 16, 32))
    with torch.no_grad():
        maps = backbone.eval()(torch.zeros(1, 3, 64, 64))
    assert [m.shape[-1] for m in maps] == [8, 4, 2]
    assert spec.channels == tuple(m.shape[1] for m in maps)


@pytest.mark.parametrize(
    "name",
    [
        "tf_efficientnet_lite0",
        "efficientnet_b0",
        "mobilenetv3_small_050",
        "mobilenetv4_conv_small_050",
        "resnet18",
    ],
)
def test_maps_equal_those_of_the_whole_network(name: str) -> None:
    """Trimming behind the last tap changes nothing before it."""
    torch.manual_seed(0)
    taps = (4, 8, 16)
    backbone, _ = build_backbone(name, taps)
    whole = timm.create_model(name, features_only=True)
    strides = whole.feature_info.reduction()
    whole.load_state_dict(backbone.state_dict(), strict=False)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        every = whole.eval()(image)
        some = backbone.eval()(image)
    for tap, got in zip(taps, some, strict=True):
        torch.testing.assert_close(got, every[strides.index(tap)], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "kept", "of"),
    [("tf_efficientnet_lite0", 5, 7), ("mobilenetv4_conv_small_050", 3, 5)],
)
def test_stages_behind_the_last_tap_are_dropped(name: str, kept: int, of: int) -> None:
    student = build_trans(
        backbone_spec("resnet18", (4, 8, 16)), load_config(overrides=[f"trans.backbone={name}"])
    ).student
    assert len(student.backbone.blocks) == kept
    assert len(timm.create_model(name).blocks) == of


def test_a_guide_that_was_packaged_with_them_keeps_its_last_stages() -> None:
    """Its weights lie in registered models; EfficientNet's never had them."""
    backbone, _ = build_backbone("mobilenetv3_small_050", (4, 8, 16))
    assert len(backbone.blocks) == len(timm.create_model("mobilenetv3_small_050").blocks)
    backbone, _ = build_backbone("tf_efficientnet_lite0", (4, 8, 16))
    assert len(backbone.blocks) == 5


def test_normalisation_is_the_backbones_own() -> None:
    assert backbone_spec("tf_efficientnet_lite0", (4, 8, 16)).mean == (0.5, 0.5, 0.5)
    assert backbone_spec("resnet18", (4, 8, 16)).mean == (0.485, 0.456, 0.406)


def test_a_spec_costs_no_random_numbers() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    backbone_spec("resnet18", (4, 8, 16))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "patch", "size"),
    [("vit_tiny_patch16_224", 16, 16), ("vit_small_patch14_dinov2", 14, 112)],
)
def test_a_vit_says_how_its_taps_are_set(name: str, patch: int, size: int) -> None:
    assert refused(name) == (
        f"agn.backbone {name}: all its maps have stride {patch}; set agn.taps = "
        f"[{patch}, {patch}, {patch}] and image.size to a multiple of {size}; "
        "agn.blocks chooses three of its 12 blocks"
    )


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("vit_small_patch14_dinov2", 14, (224, 112)),
        ("vit_small_patch16_dinov3", 16, (64, 96)),
        ("test_vit", 16, (64, 96)),
    ],
)
def test_a_vit_gives_the_maps_of_three_blocks(name: str, side: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    taps = (side, side, side)
    backbone, spec = build_backbone(name, taps, blocks=(1, 3, 4))
    whole = timm.create_model(name, dynamic_img_size=True)
    whole.load_state_dict(backbone.model.state_dict(), strict=False)
    image = torch.rand(1, 3, *shape)
    with torch.no_grad():
        maps = backbone.eval()(image)
        every = whole.eval().forward_intermediates(image, intermediates_only=True)
    for block, found in zip((1, 3, 4), maps, strict=True):
        torch.testing.assert_close(found, every[block - 1], rtol=1e-4, atol=1e-5)
    assert [tuple(m.shape[1:]) for m in maps] == spec.map_shapes(shape)
    assert len(backbone.model.blocks) == 4
    assert backbone_spec("test_vit", (16, 16, 16)).blocks == (2, 4, 6)


def test_a_vit_of_one_input_shape_gives_the_same_maps() -> None:
    torch.manual_seed(0)
    backbone, _ = build_backbone("test_vit", (16, 16, 16))
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        before = backbone.eval()(image)
        fix_input_shape(backbone, (96, 64))
        after = backbone(image)
    for first, second in zip(before, after, strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["agn.blocks=[1, 2, 3]"], "blocks are those of a ViT"),
        (["agn.taps=[16, 16, 16]", "agn.blocks=[1, 3, 2]"], "shallowest first"),
        (
            ["agn.taps=[16, 16, 16]", "agn.blocks=[1, 2, 3]"],
            "agn.backbone tf_efficientnet_lite0 is",
        ),
        (
            ["agn.backbone=test_vit", "agn.taps=[16, 16, 16]", "agn.blocks=[1, 2, 7]"],
            "agn.blocks (1, 2, 7): test_vit has 6 blocks",
        ),
    ],
)
def test_blocks_that_do_not_serve(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        agn_spec(load_config(overrides=overrides).agn)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        ((4, 8, 64), "stride 64 of agn.taps (4, 8, 64); its maps have strides [2, 4, 8, 16, 32]"),
        ((3, 5, 7), "stride 3, 5, 7"),
        ((16, 8, 4), "expected three strides, finest first"),
        ((4, 4, 8), "expected three strides, finest first"),
    ],
)
def test_taps_that_do_not_serve(taps: tuple[int, int, int], words: str) -> None:
    assert words in refused("resnet18", taps)


@pytest.mark.parametrize(
    "name",
    [
        "nosuchnet",
        "",
        "resnet18.nosuchtag",
        "hf-hub:timm/resnet18.tv_in1k",
        "local-dir:/nowhere",
        "a/b",
    ],
)
def test_unknown_backbone_is_one_line_and_asks_no_hub(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: pytest.fail("network"))
    assert f"agn.backbone {name}: " in refused(name)


def test_backbone_with_channels_last_maps_is_refused() -> None:
    """Swin's maps are [B, H, W, C]; taken for [B, C, H, W] they would train on nonsense."""
    spec = backbone_spec("swinv2_cr_tiny_ns_224", (4, 8, 16))
    assert "does not take inputs of 256 x 256 pixels" in size_refused(spec, 256)
    spec = backbone_spec("test_mambaout", (4, 8, 16))
    assert "gives maps [(1, 64, 64, 16)" in size_refused(spec, 256)


@pytest.mark.parametrize("size", [32, 64, 224, 256, 1024])
def test_input_shape_is_free(size: int) -> None:
    check_input_shape(backbone_spec("test_efficientnet", (4, 8, 16)), (size, size))


def test_trans_takes_its_channels_and_seed_from_spec_and_config(tiny_config) -> None:
    for name in ("test_efficientnet", "test_resnet"):
        config: GTransConfig = tiny_config(f"agn.backbone={name}")
        spec = backbone_spec(name, (4, 8, 16))
        first, second = build_trans(spec, config), build_trans(spec, config)
        other = build_trans(spec, tiny_config(f"agn.backbone={name}", "seed=1"))
        assert [t.attention.in_features for t in first.tokenizers] == list(spec.channels)
        for key, tensor in first.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[key])
        weight = first.student.state_dict()
        assert any(not torch.equal(v, weight[k]) for k, v in other.student.state_dict().items())

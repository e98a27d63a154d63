"""A student of another shape than the AGN's: its maps, its cost, and who may not be one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from gtrans_core.config import GTransConfig, TransConfig, load_config
from gtrans_core.errors import ConfigError
from gtrans_core.network.backbone import agn_spec, backbone_spec, build_backbone
from gtrans_core.network.build import build_trans, check_student
from gtrans_core.network.student import Student

if TYPE_CHECKING:
    from torch import nn

LITE0 = "tf_efficientnet_lite0"


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_each_map_is_a_matrix_of_its_backbones() -> None:
    """Map i at a pixel is W_i u, u the backbone's map there: nothing else is in between."""
    backbone, spec = build_backbone("test_resnet", (4, 8, 16))
    student = Student(backbone, spec.channels, (5, 6, 7)).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        own, given = backbone(image), student(image)
    for adapter, u_1CHW, map_1CHW, channels in zip(
        student.adapters, own, given, (5, 6, 7), strict=True
    ):
        weight = adapter.weight[:, :, 0, 0]
        assert weight.shape == (channels, u_1CHW.shape[1])
        expected = torch.einsum("oc,bchw->bohw", weight, u_1CHW)
        torch.testing.assert_close(map_1CHW, expected)


def test_the_default_is_less_than_a_fifth_of_a_student_of_the_agns_shape() -> None:
    spec = backbone_spec(LITE0, (8, 16, 32))
    lean = build_trans(spec, GTransConfig())
    same = build_trans(spec, GTransConfig(trans=TransConfig(backbone="agn")))
    assert parameters(lean.student) < parameters(same.student) / 5
    assert parameters(lean.tokenizers) == parameters(same.tokenizers)
    assert parameters(lean.projectors) == parameters(same.projectors)


def test_every_weight_learns() -> None:
    spec = backbone_spec("resnet18", (4, 8, 16))
    trans = build_trans(spec, GTransConfig())
    maps = [torch.rand(2, c, 64 // s, 64 // s) for c, s in zip(spec.channels, (4, 8, 16), strict=1)]
    sum(m.square().mean() for m in trans(torch.rand(2, 3, 64, 64), maps)).backward()
    without = [n for n, p in trans.student.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["trans.backbone=nosuchnet"], "trans.backbone nosuchnet: timm has no such model"),
        (
            ["trans.backbone=vit_tiny_patch16_224"],
            "trans.backbone vit_tiny_patch16_224: has no single map at stride 8, 16, 32 of "
            "agn.taps (8, 16, 32); its maps have strides [16, 16, 16]",
        ),
        (
            ["trans.backbone=swinv2_cr_tiny_ns_224", "image.size=256"],
            "trans.backbone swinv2_cr_tiny_ns_224: does not take inputs of 256 x 256 pixels",
        ),
    ],
)
def test_who_cannot_follow_the_agn_is_refused_in_one_line(overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_student(backbone_spec(LITE0, (8, 16, 32)), load_config(overrides=overrides))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_reach_no_map_are_refused_where_several_processes_would_wait_for_them(
    tiny_config,
) -> None:
    several = ("training.processes=2", "training.batch_size=4")
    spec = backbone_spec("test_efficientnet", (4, 8, 16))
    check_student(spec, tiny_config(*several, "trans.backbone=test_resnet"))
    check_student(spec, tiny_config("trans.backbone=hrnet_w18_small"))
    with pytest.raises(ConfigError) as caught:
        check_student(spec, tiny_config(*several, "trans.backbone=hrnet_w18_small"))
    assert "weights reach no map (backbone.stage" in str(caught.value)
    assert "set training.processes = 1" in str(caught.value)


def test_a_student_that_timm_does_not_have_is_named_by_its_own_knob(tiny_config) -> None:
    spec = backbone_spec("test_efficientnet", (4, 8, 16))
    with pytest.raises(ConfigError, match=r"^trans\.backbone nosuchnet: "):
        build_trans(spec, tiny_config("trans.backbone=nosuchnet"))


@pytest.mark.parametrize("size", [32, 64, 256, 1024])
def test_the_default_follows_the_default_at_any_size(size: int) -> None:
    config = load_config(overrides=[f"image.size={size}"])
    check_student(backbone_spec(config.agn.backbone, config.agn.taps), config)


def test_a_students_maps_are_brought_to_the_grid_of_a_vit(tiny_config) -> None:
    vit = ("agn.backbone=test_vit", "agn.taps=[16, 16, 16]", "image.size=[64, 96]")
    config = tiny_config(*vit, "trans.backbone=test_resnet")
    spec = agn_spec(config.agn)
    check_student(spec, config)
    trans = build_trans(spec, config)
    maps = [torch.rand(2, *shape) for shape in spec.map_shapes((64, 96))]
    predicted = trans(torch.rand(2, 3, 64, 96), maps)
    assert [m.shape for m in predicted] == [m.shape for m in maps]
    sum(m.square().mean() for m in predicted).backward()
    assert all(p.grad is not None for p in trans.student.parameters())
    same = build_trans(spec, tiny_config(*vit, "trans.backbone=agn"))
    assert [m.shape for m in same.student(torch.rand(2, 3, 64, 96))] == [m.shape for m in maps]

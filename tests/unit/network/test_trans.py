"""Trans: parameter counts of the paper's variants, shapes, and formulas against plain loops."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from gtrans_core.config import SAME_AS_AGN, GTransConfig, ResearchConfig, TransConfig
from gtrans_core.network.backbone import backbone_spec
from gtrans_core.network.build import build_trans
from gtrans_core.network.trans import Projector, TokenBlock, Tokenizer, Trans

GOLDEN = [(0.2256, 0.5739), (0.0448, 0.6143), (0.0589, 0.611)]
"""Mean and standard deviation of the three maps of a fixed seed and input."""


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def same_shape(seed: int = 0, **trans: Any) -> GTransConfig:
    """A student of the AGN's shape, as published."""
    return GTransConfig(seed=seed, trans=TransConfig(backbone="agn", **trans))


def resnet34_trans() -> Trans:
    return build_trans(backbone_spec("resnet34", (4, 8, 16)), same_shape())


def test_resnet34_variant_has_the_published_parameter_counts():
    trans = resnet34_trans()
    assert parameters(trans.tokenizers) == 118_272
    assert parameters(trans.encoder) == 339_968
    assert parameters(trans.decoder) == 339_968
    assert parameters(trans.projectors) == 315_392
    assert round(parameters(trans.student) / 1e6, 2) == 8.17


def test_resnet18_variant_has_no_norm_and_wider_tokens():
    wider = TransConfig(backbone="agn", token_width=1024, passes=1)
    config = GTransConfig(trans=wider, research=ResearchConfig(layer_norm=False))
    trans = build_trans(backbone_spec("resnet18", (4, 8, 16)), config)
    assert parameters(trans.encoder) == 5 * 1024 * 1024
    assert not [m for m in trans.modules() if isinstance(m, nn.LayerNorm)]


def test_no_layer_of_the_transformer_has_a_bias():
    trans = resnet34_trans()
    for part in (trans.tokenizers, trans.encoder, trans.decoder, trans.projectors):
        assert all(m.bias is None for m in part.modules() if isinstance(m, nn.Linear))


@pytest.mark.parametrize("student", [SAME_AS_AGN, "mobilenetv4_conv_small_050", "test_resnet"])
@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0"])
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_maps_have_the_shapes_of_the_agn(name: str, student: str, size: tuple[int, int]):
    spec = backbone_spec(name, (4, 8, 16))
    config = GTransConfig(trans=TransConfig(backbone=student))
    trans = build_trans(spec, config).eval()
    agn_maps = [
        torch.rand(2, c, size[0] // s, size[1] // s)
        for c, s in zip(spec.channels, spec.strides, strict=True)
    ]
    predicted = trans(torch.rand(2, 3, *size), agn_maps)
    assert [m.shape for m in predicted] == [m.shape for m in agn_maps]


def test_same_seed_same_weights_and_the_global_generator_is_left_alone():
    spec = backbone_spec("resnet18", (4, 8, 16))
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, two = (build_trans(spec, same_shape(seed=3)).state_dict() for _ in range(2))
    other = build_trans(spec, same_shape(seed=4)).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert not torch.equal(one["encoder.query.weight"], other["encoder.query.weight"])


def test_student_starts_without_imagenet_weights():
    trans = build_trans(backbone_spec("resnet18", (4, 8, 16)), same_shape(seed=1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        plain = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3))
    assert torch.equal(trans.student.state_dict()["conv1.weight"], plain.conv1.weight)


def test_tokenizer_is_a_softmax_over_pixels():
    """arXiv 2305.14880 written out: A = softmax_P(u W_a / sqrt(C)); tokens = A^T (u W_v)."""
    tokenizer = Tokenizer(channels=5, tokens=3, width=7)
    u = torch.randn(2, 5, 4, 6)
    w_a, w_v = tokenizer.attention.weight.T, tokenizer.value.weight.T
    for b in range(2):
        pixels = u[b].reshape(5, 24).T
        a = torch.exp(pixels @ w_a / 5**0.5)
        a = a / a.sum(dim=0, keepdim=True)
        torch.testing.assert_close(tokenizer(u)[b], a.T @ (pixels @ w_v))


def block_by_hand(block: TokenBlock, queries: Tensor, memory: Tensor) -> Tensor:
    width = queries.shape[-1]
    q, k, v = (memory @ m.weight.T for m in (block.query, block.key, block.value))
    q = queries @ block.query.weight.T
    weights = torch.softmax(torch.einsum("btd,bsd->bts", q, k) / width**0.5, dim=-1)
    y = queries + torch.einsum("bts,bsd->btd", weights, v)

    def norm(z: Tensor) -> Tensor:
        if isinstance(block.norm, nn.Identity):
            return z
        mean = z.mean(dim=(1, 2), keepdim=True)
        variance = z.var(dim=(1, 2), keepdim=True, unbiased=False)
        return (z - mean) / torch.sqrt(variance + 1e-5) * block.norm.weight + block.norm.bias

    y = norm(y)
    return norm(y + torch.relu(y @ block.expand.weight.T) @ block.contract.weight.T)


@pytest.mark.parametrize("layer_norm", [True, False])
def test_block_attends_and_normalises_jointly_over_tokens_and_channels(layer_norm: bool):
    block = TokenBlock(tokens=6, width=8, layer_norm=layer_norm)
    if layer_norm:
        nn.init.uniform_(block.norm.weight)
        nn.init.uniform_(block.norm.bias)
    queries, memory = torch.randn(2, 6, 8), torch.randn(2, 6, 8)
    expected = block_by_hand(block, queries, memory)
    torch.testing.assert_close(block(queries, memory), expected, rtol=1e-4, atol=1e-5)


def test_projector_adds_attended_tokens_at_each_pixel():
    projector = Projector(channels=4, width=6)
    s, g = torch.randn(1, 4, 3, 3), torch.randn(1, 5, 6)
    keys, values = g[0] @ projector.key.weight.T, g[0] @ projector.value.weight.T
    out = projector(s, g)
    for y in range(3):
        for x in range(3):
            query = projector.query.weight @ s[0, :, y, x]
            weights = torch.softmax(keys @ query / 4**0.5, dim=0)
            torch.testing.assert_close(out[0, :, y, x], s[0, :, y, x] + weights @ values)


def test_agn_tokens_are_the_decoder_queries_and_the_student_its_memory():
    """Both reach the output: change either and the maps change."""
    spec = backbone_spec("resnet18", (4, 8, 16))
    trans = build_trans(spec, same_shape()).eval()
    maps = [
        torch.rand(1, c, 64 // s, 64 // s) for c, s in zip(spec.channels, spec.strides, strict=True)
    ]
    image = torch.rand(1, 3, 64, 64)
    base = trans(image, maps)
    guided = trans(image, [m * 2 for m in maps])
    assert all((a - b).abs().max() > 1e-6 for a, b in zip(base, guided, strict=True))


def test_passes_share_their_weights():
    spec = backbone_spec("resnet18", (4, 8, 16))
    one = build_trans(spec, same_shape(passes=1))
    three = build_trans(spec, same_shape(passes=3))
    assert parameters(one) == parameters(three)


def test_golden_output_of_a_fixed_seed():
    """Guards against a silent change of the network: same seed and input, same numbers."""
    spec = backbone_spec("resnet18", (4, 8, 16))
    trans = build_trans(spec, same_shape()).eval()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, 64, 64, generator=generator)
    maps = [
        torch.rand(1, c, 64 // s, 64 // s, generator=generator)
        for c, s in zip(spec.channels, spec.strides, strict=True)
    ]
    with torch.no_grad():
        got = [(float(m.mean()), float(m.std())) for m in trans(image, maps)]
    for statistics, golden in zip(got, GOLDEN, strict=True):
        assert statistics == pytest.approx(golden, abs=2e-3)

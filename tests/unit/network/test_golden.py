"""Both variants of the paper, whole: stored outputs, and their formulas once more in numpy.

The inputs are drawn from fixed seeds. Run this file to write the stored outputs anew, after a
change of the network that is meant.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.torch import load_file, save_file

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.features.weights import load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.loss import guidance_loss
from gtrans_core.network.score import distance_map, image_weight
from gtrans_core.network.trans import Trans

VARIANTS = ["paper-resnet34", "paper-resnet18"]
FOLDER = Path(__file__).parent / "golden"
CHANNEL_STEP = 8
"""Every eighth channel is stored."""

Array = npt.NDArray[np.float64]


def forward(variant: str) -> tuple[Trans, torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """Trans, inputs, AGN maps and predicted maps of two random 32 x 32 images, on ResNet-18."""
    small = ("agn.backbone=resnet18", "agn.weights=random:1")
    config: GTransConfig = load_config(Path(variant), small)
    agn = load_guide(config.agn, Path()).agn
    trans = build_trans(agn.spec, config).eval()
    generator = torch.Generator().manual_seed(2)
    views = torch.randint(0, 256, (2, 3, 32, 32), generator=generator, dtype=torch.uint8)
    inputs = agn.spec.normalise(views)
    with torch.no_grad():
        agn_maps = agn(inputs)
        return trans, inputs, agn_maps, trans(inputs, agn_maps)


def outputs(variant: str) -> dict[str, torch.Tensor]:
    """What is stored: predicted maps, distances and weights of each scale, and the loss."""
    _, _, agn_maps, trans_maps = forward(variant)
    tensors = {"loss": guidance_loss(agn_maps, trans_maps)}
    for number, (a, f) in enumerate(zip(agn_maps, trans_maps, strict=True), start=1):
        tensors[f"map{number}"] = f[:, ::CHANNEL_STEP]
        tensors[f"distance{number}"] = distance_map(a, f)
        tensors[f"weight{number}"] = image_weight(a, f)
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_stored_outputs(variant: str) -> None:
    stored = load_file(FOLDER / f"{variant}.safetensors")
    now = outputs(variant)
    assert now.keys() == stored.keys()
    for name, tensor in now.items():
        torch.testing.assert_close(tensor, stored[name], rtol=1e-4, atol=1e-5, msg=name)


def flat(map_CHW: torch.Tensor) -> Array:
    return map_CHW.flatten(1).double().numpy()


def softmax(logits: Array, axis: int) -> Array:
    exponents: Array = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return exponents / exponents.sum(axis=axis, keepdims=True)


def reference(
    weights: dict[str, Array],
    student_maps: Sequence[Array],
    agn_maps: Sequence[Array],
    passes: int,
    layer_norm: bool,
) -> list[Array]:
    """Trans from tokens to maps (arXiv 2305.14880), for one image: [C_i, P_i] to [C_i, P_i]."""

    def linear(name: str) -> Array:
        return weights[f"{name}.weight"].T

    def tokens(maps: Sequence[Array]) -> Array:
        parts = []
        for i, u_CP in enumerate(maps):
            u = u_CP.T
            attention = softmax(u @ linear(f"tokenizers.{i}.attention") / len(u_CP) ** 0.5, axis=0)
            parts.append(attention.T @ (u @ linear(f"tokenizers.{i}.value")))
        return np.concatenate(parts)

    def normed(name: str, z: Array) -> Array:
        if not layer_norm:
            return z
        standard = (z - z.mean()) / np.sqrt(z.var() + 1e-5)
        return standard * weights[f"{name}.norm.weight"] + weights[f"{name}.norm.bias"]

    def block(name: str, queries: Array, memory: Array) -> Array:
        q, k = queries @ linear(f"{name}.query"), memory @ linear(f"{name}.key")
        attended = softmax(q @ k.T / q.shape[1] ** 0.5, axis=1) @ memory @ linear(f"{name}.value")
        y = normed(name, queries + attended)
        hidden = np.maximum(y @ linear(f"{name}.expand"), 0)
        return normed(name, y + hidden @ linear(f"{name}.contract"))

    def projected(i: int, s_CP: Array, g: Array) -> Array:
        s, channels = s_CP.T, len(s_CP)
        q, k = s @ linear(f"projectors.{i}.query"), g @ linear(f"projectors.{i}.key")
        value = g @ linear(f"projectors.{i}.value")
        return (s + softmax(q @ k.T / channels**0.5, axis=1) @ value).T

    memory = tokens(student_maps)
    for _ in range(passes):
        memory = block("encoder", memory, memory)
    decoded = tokens(agn_maps)
    for _ in range(passes):
        decoded = block("decoder", decoded, memory)
    split = np.split(decoded, len(student_maps))
    return [projected(i, s, g) for i, (s, g) in enumerate(zip(student_maps, split, strict=True))]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_whole_transformer_is_that_of_method_md(variant: str) -> None:
    """Also with norm weights that are not 1 and 0, as they are at the start."""
    trans, inputs, agn_maps, _ = forward(variant)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in trans.named_parameters():
            if ".norm." in name:
                weight.copy_(torch.rand(weight.shape, generator=generator))
        student_maps = trans.student(inputs)
        predicted = trans(inputs, agn_maps)
    weights = {name: weight.detach().double().numpy() for name, weight in trans.named_parameters()}
    config = load_config(Path(variant))
    for b in range(len(inputs)):
        expected = reference(
            weights,
            [flat(m[b]) for m in student_maps],
            [flat(m[b]) for m in agn_maps],
            config.trans.passes,
            config.research.layer_norm,
        )
        for got, wanted in zip(predicted, expected, strict=True):
            np.testing.assert_allclose(flat(got[b]), wanted, rtol=1e-4, atol=1e-5)


if __name__ == "__main__":
    for each in VARIANTS:
        save_file(outputs(each), FOLDER / f"{each}.safetensors")

"""The patch memory searched in 8 bits: its distances are those of fp32."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from gtrans_core.config import GTransConfig
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.int8 import quantise
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.features.weights import Guide, load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.memory import PatchMemory, fit_memory, memory_maps
from gtrans_core.network.scorer import Scorer
from tests.support.images import views_of

SIZE = 64


@pytest.fixture(scope="module")
def config(tiny_config) -> GTransConfig:
    """Its score is read from the patch memory, and nearly from nothing else."""
    return tiny_config("scoring.scene_share=0", "scoring.memory_share=0.99")


@pytest.fixture(scope="module")
def guide(config: GTransConfig, tmp_path_factory) -> Guide:
    return load_guide(config.agn, tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def memory(guide: Guide) -> PatchMemory:
    """Of 40 views."""
    views = torch.from_numpy(views_of(SIZE, 40))
    maps = guide.agn(guide.agn.spec.normalise(views))
    return fit_memory(memory_maps(maps, guide.agn.spec.strides), patches=200, seed=0)


@pytest.fixture(scope="module")
def graph(memory: PatchMemory, guide: Guide, config: GTransConfig) -> bytes:
    torch.manual_seed(0)
    trans = build_trans(guide.agn.spec, config)
    return export_onnx(Scorer(guide.agn, trans, None, config, memory), (SIZE, SIZE))


@pytest.fixture(scope="module")
def quantised(graph: bytes) -> bytes:
    return quantise(graph)


def operators(graph: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]


def test_scores_and_maps_are_those_of_fp32(graph: bytes, quantised: bytes) -> None:
    """Far closer than the products of whole numbers: only what is chosen comes from these."""
    assert operators(quantised).count("MatMulIntegerToFloat") == 8
    full, light = OnnxEngine(graph), OnnxEngine(quantised)
    for view in views_of(SIZE, 24):
        expected, found = full.score_view(view), light.score_view(view)
        assert found[1] == pytest.approx(expected[1], rel=1e-3)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-2)
        assert np.median(np.abs(found[0] / expected[0] - 1)) < 1e-5


def test_the_parts_make_up_the_bank(memory: PatchMemory, quantised: bytes) -> None:
    held = {
        t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(quantised).graph.initializer
    }
    parts = [held[f"memory.bank.{i}.int8"] * held[f"memory.bank.{i}.scale"] / -2 for i in range(8)]
    bank = memory.bank.numpy()
    largest = np.abs(bank).max(axis=1, keepdims=True)
    assert (np.abs(np.concatenate(parts, axis=1).T - bank) <= 0.501 * largest / 63).all()
    firsts = [int(held[f"memory.bank.{i}.first"]) for i in range(8)]
    assert firsts == list(range(0, 200, 25))
    assert np.abs(parts[0]).max() > 0


def test_no_pair_of_products_overflows_16_bits(quantised: bytes) -> None:
    """Processors without VNNI add two of them, of up to 255 times a weight, in 16 bits."""
    for tensor in onnx.load_from_string(quantised).graph.initializer:
        if tensor.name.endswith(".int8") and tensor.name.startswith("memory."):
            whole = np.abs(numpy_helper.to_array(tensor).astype(int))
            assert 2 * 255 * whole.max() < 2**15


def test_what_was_searched_in_fp32_is_gone(graph: bytes, quantised: bytes) -> None:
    def products(data: bytes) -> int:
        nodes = onnx.load_from_string(data).graph.node
        return sum(n.op_type == "MatMul" and n.name.startswith("/memory/") for n in nodes)

    assert products(graph) - products(quantised) == 1


def test_a_bank_of_fewer_patches_than_parts(memory: PatchMemory, graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    [bank] = [t for t in model.graph.initializer if t.name == "memory.bank"]
    bank.CopyFrom(numpy_helper.from_array(memory.bank[:1].numpy(), bank.name))
    graph = model.SerializeToString()
    light = quantise(graph)
    assert operators(light).count("MatMulIntegerToFloat") == 1
    [view] = views_of(SIZE, 1)
    expected = OnnxEngine(graph).score_view(view)[1]
    assert OnnxEngine(light).score_view(view)[1] == pytest.approx(expected, rel=1e-5)


def test_an_image_has_one_score_on_any_number_of_threads(quantised: bytes) -> None:
    one, two = OnnxEngine(quantised, threads=1), OnnxEngine(quantised, threads=2)
    for view in views_of(SIZE):
        assert one.score_view(view)[1] == two.score_view(view)[1]


def test_the_same_graph_gives_the_same_bytes(graph: bytes, quantised: bytes) -> None:
    assert quantise(graph) == quantised


def test_another_search_is_refused(graph: bytes) -> None:
    model = onnx.load_from_string(graph)
    [least] = [n for n in model.graph.node if n.op_type == "ReduceMin"]
    least.op_type = "ReduceMax"
    with pytest.raises(ValueError, match="is searched by MatMul, Add, ReduceMax, Add"):
        quantise(model.SerializeToString())

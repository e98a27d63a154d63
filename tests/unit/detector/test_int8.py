"""The scene model in 8 bits: what the graph holds, and that it scores alike."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from benchmarks.speed.subject import random_scene
from gtrans_core.detector.engine import OnnxEngine
from gtrans_core.detector.int8 import quantise
from gtrans_core.detector.onnx import export_onnx
from gtrans_core.features.weights import load_guide
from gtrans_core.network.build import build_trans
from gtrans_core.network.scene import fit_scene
from gtrans_core.network.scorer import Scorer
from tests.support.images import views_of

SIZE = 64


@pytest.fixture(scope="module")
def graph(tiny_config, tmp_path_factory) -> bytes:
    """Of a scene model that knows 20 views well."""
    config = tiny_config("scoring.scene_share=1", "scoring.memory_share=0")
    guide = load_guide(config.agn, tmp_path_factory.mktemp("weights"))
    views = torch.from_numpy(views_of(SIZE, 20))
    with torch.no_grad():
        scene = fit_scene(guide.agn(guide.agn.spec.normalise(views)), rank=12)
    torch.manual_seed(0)
    trans = build_trans(guide.agn.spec, config)
    return export_onnx(Scorer(guide.agn, trans, scene, config), (SIZE, SIZE))


@pytest.fixture(scope="module")
def quantised(graph: bytes) -> bytes:
    return quantise(graph)


def tensors(graph: bytes) -> dict[str, np.ndarray]:
    initializer = onnx.load_from_string(graph).graph.initializer
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in initializer}


def test_whole_numbers_stand_for_the_principal_maps(graph: bytes, quantised: bytes) -> None:
    """With their scales and gains V^T (g V z) is what it was, to the rounding of each weight."""
    before, after = tensors(graph), tensors(quantised)
    products = [n for n in onnx.load_from_string(quantised).graph.node if n.domain]
    for i, (down, up) in enumerate(zip(products[::2], products[1::2], strict=True), start=1):
        basis, gain = before[f"scene.basis_{i}"], before[f"scene.gain_{i}"]
        size = gain / after[f"scene.basis_{i}.gain"]
        for node, matrix in ((down, basis), (up, (basis * size[:, None]).T)):
            whole, scale = (after[name] for name in node.input[1:])
            assert whole.dtype == np.uint8
            stands_for = ((whole - 128.0) * scale[:, :, None]).reshape(len(matrix), -1)
            error = np.abs(stands_for[:, : matrix.shape[1]] - matrix)
            assert (error <= 0.501 * scale.max(axis=1, keepdims=True)).all()
            assert not stands_for[:, matrix.shape[1] :].any()
        assert size[0] / size[-1] == pytest.approx(((1 - gain[-1]) / (1 - gain[0])) ** 0.5)
        assert f"scene.basis_{i}" not in after


def test_all_six_products_are_in_int8(graph: bytes, quantised: bytes) -> None:
    def products(data: bytes) -> int:
        nodes = onnx.load_from_string(data).graph.node
        return sum(node.op_type == "MatMulNBits" for node in nodes)

    assert (products(graph), products(quantised)) == (0, 6)


def test_scores_and_maps_are_nearly_those_of_fp32(graph: bytes, quantised: bytes) -> None:
    full, light = OnnxEngine(graph), OnnxEngine(quantised)
    for view in views_of(SIZE, 24):
        expected, found = full.score_view(view), light.score_view(view)
        assert found[1] != expected[1]
        assert found[1] == pytest.approx(expected[1], rel=1e-2)
        np.testing.assert_allclose(found[0], expected[0], rtol=5e-2)


def test_an_image_has_one_score_on_any_number_of_threads(quantised: bytes) -> None:
    one, two = OnnxEngine(quantised, threads=1), OnnxEngine(quantised, threads=2)
    for view in views_of(SIZE):
        assert one.score_view(view)[1] == two.score_view(view)[1]


def test_the_same_graph_gives_the_same_bytes(graph: bytes, quantised: bytes) -> None:
    assert quantise(graph) == quantised


def test_a_graph_without_a_scene_model_stays_as_it_is(tiny_config, tmp_path) -> None:
    config = tiny_config("scoring.scene_share=0", "scoring.memory_share=0")
    guide = load_guide(config.agn, tmp_path)
    scorer = Scorer(guide.agn, build_trans(guide.agn.spec, config), None, config)
    graph = export_onnx(scorer, (SIZE, SIZE))
    assert quantise(graph) == graph


def test_scales_that_share_a_tensor_of_gains(tiny_config, tmp_path) -> None:
    """The exporter stores equal tensors once; each scale gets gains of its own."""
    config = tiny_config("scoring.scene_share=1", "scoring.memory_share=0")
    guide = load_guide(config.agn, tmp_path)
    scene = random_scene(guide.agn.spec.map_shapes((SIZE, SIZE)), config)
    scorer = Scorer(guide.agn, build_trans(guide.agn.spec, config), scene, config)
    graph = export_onnx(scorer, (SIZE, SIZE))
    assert "scene.gain_2" not in tensors(graph)
    [view] = views_of(SIZE, 1)
    light = OnnxEngine(quantise(graph)).score_view(view)[1]
    assert light == pytest.approx(scorer.score_view(view)[1], rel=1e-3)

"""A heat map that is made only where it is asked for."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from gtrans_core.config import GTransConfig
from gtrans_core.detector.engine import INPUT, OUTPUTS, OnnxEngine
from gtrans_core.detector.int8 import quantise
from gtrans_core.detector.on_demand import heat_map_on_demand
from gtrans_core.detector.onnx import export_onnx
from tests.support.detectors import make_scorer
from tests.support.images import views_of


def graph_of(config: GTransConfig) -> bytes:
    return export_onnx(make_scorer(config), config.image.view_shape)


@pytest.fixture(scope="module")
def plain(tiny_config) -> bytes:
    return quantise(graph_of(tiny_config()))


@pytest.fixture(scope="module")
def on_demand(plain: bytes) -> bytes:
    return heat_map_on_demand(plain)


def test_maps_and_scores_are_the_same_to_the_last_bit(plain: bytes, on_demand: bytes) -> None:
    before, now = OnnxEngine(plain), OnnxEngine(on_demand)
    for view in views_of(64):
        expected, found = before.score_view(view), now.score_view(view)
        assert found[1] == expected[1]
        assert np.array_equal(found[0], expected[0])
        for engine in (before, now):
            assert engine.score_alone(view) == expected[1]


def test_trans_is_not_needed_for_a_score(on_demand: bytes) -> None:
    graph = onnx.load_from_string(on_demand).graph
    [choice] = [node for node in graph.node if node.op_type == "If"]
    [made] = [a.g for a in choice.attribute if a.name == "then_branch"]
    inside, outside = ({t.name for t in g.initializer} for g in (made, graph))
    assert any(name.startswith("trans.") for name in inside)
    assert not any(name.startswith("trans.") for name in outside)
    assert not inside & outside


def half_broken() -> ModelProto:
    """The heat map of this graph cannot be made: it asks for a hundredth row of eight."""
    nodes = [
        helper.make_node("Cast", [INPUT], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["score"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Gather", ["pixels", "row"], ["heat_map"], axis=2),
    ]
    row = numpy_helper.from_array(np.array(99), "row")
    view = helper.make_tensor_value_info(INPUT, TensorProto.UINT8, [1, 3, 8, 8])
    asked = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in OUTPUTS]
    graph = helper.make_graph(nodes, "half", [view], asked, [row])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_for_a_score_alone_nothing_else_is_run() -> None:
    half = OnnxEngine(heat_map_on_demand(half_broken().SerializeToString()))
    view = np.full((3, 8, 8), 7, np.uint8)
    assert half.score_alone(view) == 7
    with pytest.raises(Exception, match="out of"):
        half.score_view(view)


def test_a_score_that_is_read_from_the_heat_map_needs_it(tiny_config) -> None:
    graph = graph_of(tiny_config("scoring.image_maps=0"))
    assert heat_map_on_demand(graph) == graph


def test_the_same_graph_gives_the_same_bytes(plain: bytes, on_demand: bytes) -> None:
    assert heat_map_on_demand(plain) == on_demand

"""A graph whose heat map is made only where it is asked for: often nobody looks at one.

ONNX Runtime runs all of a graph, whichever outputs are wanted. So what only the heat map needs goes
into a branch, which a further input chooses; left out, it is true, as for graphs without branches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gtrans_core.detector.engine import OUTPUTS, WITH_MAP

if TYPE_CHECKING:
    from onnx import GraphProto

_MAP, _SCORE = OUTPUTS


def heat_map_on_demand(graph: bytes) -> bytes:
    """A graph that ``export_onnx`` made, with the nodes that only its heat map needs in a branch.

    The other branch gives a map of no pixels. The same graph gives the same bytes.
    """
    import onnx  # not where a packaged graph is only run
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_from_string(graph)
    whole = model.graph
    needed = _nodes_for(whole, _SCORE)
    branch = [node for i, node in enumerate(whole.node) if i not in needed]
    kept = [node for i, node in enumerate(whole.node) if i in needed]
    if not any(_MAP in node.output for node in branch):
        return graph  # the score is read from it
    outside = {name for node in kept for name in node.input}
    moved = [tensor for tensor in whole.initializer if tensor.name not in outside]
    stay = [tensor for tensor in whole.initializer if tensor.name in outside]
    [told] = [output for output in whole.output if output.name == _MAP]
    one = helper.make_tensor_value_info("made", TensorProto.FLOAT, None)
    for node in branch:
        node.output[:] = ["made" if name == _MAP else name for name in node.output]
        node.input[:] = ["made" if name == _MAP else name for name in node.input]
    made = helper.make_graph(branch, "made", [], [one], moved)
    empty = numpy_helper.from_array(np.zeros((1, 0, 0), np.float32), "none")
    nothing = helper.make_node("Constant", [], ["none"], value=empty)
    none = helper.make_tensor_value_info("none", TensorProto.FLOAT, [1, 0, 0])
    left_out = helper.make_graph([nothing], "left_out", [], [none])
    chosen = helper.make_node("If", [WITH_MAP], [_MAP], then_branch=made, else_branch=left_out)
    del whole.node[:], whole.initializer[:]
    whole.node.extend([*kept, chosen])
    whole.initializer.extend([*stay, numpy_helper.from_array(np.array(True), WITH_MAP)])
    whole.input.append(helper.make_tensor_value_info(WITH_MAP, TensorProto.BOOL, []))
    told.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString(deterministic=True))


def _nodes_for(graph: GraphProto, output: str) -> set[int]:
    """Positions of the nodes that an output is computed from."""
    makers = {name: i for i, node in enumerate(graph.node) for name in node.output}
    found: set[int] = set()
    asked = [output]
    while asked:
        position = makers.get(asked.pop())
        if position is not None and position not in found:
            found.add(position)
            asked.extend(graph.node[position].input)
    return found

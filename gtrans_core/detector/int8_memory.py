"""The patch memory's search in 8 bits, in a graph that has it in fp32; its distances stay in fp32.

Products of whole numbers only say which patch is nearest. They are good to about a hundredth: too
little for a score, but enough to choose by. The best patch of each part of the bank is looked at
again, and its distance is computed in fp32. So the score is that of fp32, unless the nearest patch
lost to another one of its part that is as near within that hundredth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

_BANK = "memory.bank"
_PARTS = 8
"""Of the bank, each of which offers one patch."""
_LARGEST = 63
"""Seven bits: on processors without VNNI, pairs of products are added in 16 bits."""


def quantise_memory(graph: GraphProto) -> bool:
    """Let a graph that ``export_onnx`` made search its patch memory in 8 bits.

    Returns:
        Whether it has a patch memory.

    Raises:
        ValueError: when the memory's nodes are not those that ``export_onnx`` makes.
    """
    from onnx import numpy_helper

    bank_KC = next((numpy_helper.to_array(t) for t in graph.initializer if t.name == _BANK), None)
    if bank_KC is None:
        return False
    product, norms, distance = _nodes(graph)
    patches, nearest = product.input[0], distance.output[0]
    place = list(graph.node).index(product)
    for node in (product, norms, distance):
        graph.node.remove(node)
    for offset, node in enumerate(_search(graph, patches, bank_KC, nearest)):
        graph.node.insert(place + offset, node)
    _remove_unread(graph)
    return True


def _nodes(graph: GraphProto) -> tuple[NodeProto, NodeProto, NodeProto]:
    """x (-2 m)^T; that plus ||m||²; and what adds ||x||² to its least: the distance."""
    readers = {name: node for node in graph.node for name in node.input}
    doubled = [n for n in graph.node if n.op_type == "Mul" and n.input[0] == _BANK != n.input[1]]
    try:
        [double] = doubled
        product = readers[readers[double.output[0]].output[0]]
        norms = readers[product.output[0]]
        least = readers[norms.output[0]]
        distance = readers[least.output[0]]
    except (ValueError, KeyError):
        raise ValueError("its patch memory is not searched as expected") from None
    found = [node.op_type for node in (product, norms, least, distance)]
    if found != ["MatMul", "Add", "ReduceMin", "Add"]:
        raise ValueError(f"its patch memory is searched by {', '.join(found)}")
    return product, norms, distance


def _search(
    graph: GraphProto, patches: str, bank_KC: npt.NDArray[np.float32], nearest: str
) -> list[NodeProto]:
    """Nodes that write the squared distances [B, P] of patches [B, P, C] to ``nearest``."""
    from onnx import helper, numpy_helper

    nodes: list[NodeProto] = []

    def name(what: str) -> str:
        return f"{_BANK}.{what}"

    def constant(what: str, value: npt.NDArray[np.generic]) -> str:
        graph.initializer.append(numpy_helper.from_array(value, name(what)))
        return name(what)

    def node(kind: str, inputs: list[str], *outputs: str, domain: str = "", **facts: int) -> str:
        nodes.append(helper.make_node(kind, inputs, outputs, outputs[0], domain=domain))
        nodes[-1].attribute.extend(
            helper.make_attribute(key, value) for key, value in facts.items()
        )
        return outputs[0]

    whole = [name(what) for what in ("whole", "scale", "zero")]
    node("DynamicQuantizeLinear", [patches], *whole)
    chosen = []
    first = 0
    for i, part_KC in enumerate(np.array_split(bank_KC, min(_PARTS, len(bank_KC)))):
        whole_CK, scale_K = _whole_numbers((-2 * part_KC).T)
        inputs = [whole[0], constant(f"{i}.int8", whole_CK), whole[1]]
        inputs += [constant(f"{i}.scale", scale_K), whole[2], ""]
        inputs += [constant(f"{i}.norms", np.square(part_KC).sum(axis=1))]
        about = node("MatMulIntegerToFloat", inputs, name(f"{i}.about"), domain="com.microsoft")
        best = node("ArgMin", [about], name(f"{i}.best"), axis=-1, keepdims=1)
        inputs = [best, constant(f"{i}.first", np.array(first, np.int64))]
        chosen.append(node("Add", inputs, name(f"{i}.chosen")))
        first += len(part_KC)
    candidates = node("Concat", chosen, name("candidates"), axis=-1)
    looked_at = node("Gather", [_BANK, candidates], name("looked_at"), axis=0)
    inputs = [patches, constant("third", np.array([2], np.int64))]
    alone = node("Unsqueeze", inputs, name("alone"))
    rest = node("Sub", [alone, looked_at], name("rest"))
    square = node("Mul", [rest, rest], name("square"))
    inputs = [square, constant("last", np.array([-1], np.int64))]
    distances = node("ReduceSum", inputs, name("distances"), keepdims=0)
    nodes.append(helper.make_node("ReduceMin", [distances], [nearest], axes=[-1], keepdims=0))
    return nodes


def _whole_numbers(
    matrix_CK: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Whole numbers [C, K] and a scale for each column [K]; of a column of zeros it is 1."""
    scale_K = np.abs(matrix_CK).max(axis=0) / _LARGEST
    scale_K[scale_K == 0] = 1
    return np.rint(matrix_CK / scale_K).astype(np.int8), scale_K.astype(np.float32)


def _remove_unread(graph: GraphProto) -> None:
    """Remove nodes whose results nobody reads any more."""
    while True:
        read = {name for node in graph.node for name in node.input}
        read |= {output.name for output in graph.output}
        unread = [node for node in graph.node if read.isdisjoint(node.output)]
        if not unread:
            return
        for node in unread:
            graph.node.remove(node)

"""The largest products in 8 bits, in a graph that has them in fp32.

The patch memory's product is in ``int8_memory``; here are the scene model's. Its principal maps V
are most of what scoring reads from memory. Both V and V^T become whole numbers with a scale for
each block of a row; the other factor of each product becomes whole numbers, block by block, while
an image is scored. There small coefficients would be lost beside large ones. So each is divided by
its usual size s, and its map multiplied by it:

    V^T (g * V z) = (s V)^T (g / s * V z),  s = 1 / sqrt(1 - g)

which is its size up to a factor, since a gain g is 1 - noise / variance of its coefficient.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from gtrans_core.detector.int8_memory import quantise_memory

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

SCENE, MEMORY = "scene model", "patch memory"
_DOMAIN = "com.microsoft"
_PRODUCT = "MatMulNBits"
_BASIS = re.compile(r"scene\.(models\.\d+\.)?basis_\d+")
_DOWN_BLOCK, _UP_BLOCK = 128, 32
"""Numbers that share a scale: of a map's elements, and of an element's part in the maps."""
_WHOLE_NUMBERS = 4
"""``accuracy_level``: also the other factor is made whole numbers."""
_ZERO, _LARGEST = 128, 127
"""Stored are unsigned bytes around 128."""
_TINY = 1e-6
"""Least 1 - g: nothing is divided by zero."""


def quantise(graph: bytes, parts: Collection[str] = (SCENE, MEMORY)) -> bytes:
    """A graph that ``export_onnx`` made, with its scene model and its patch memory in 8 bits.

    The same graph gives the same bytes; one that has neither stays as it is.

    Args:
        graph: of the file.
        parts: which of the two are to be in 8 bits.

    Raises:
        ValueError: when their nodes are not those that ``export_onnx`` makes.
    """
    import onnx  # not where a packaged graph is only run
    from onnx import helper

    model = onnx.load_from_string(graph)
    ways = {SCENE: _quantise_scene, MEMORY: quantise_memory}
    changed = [ways[part](model.graph) for part in parts]
    if not any(changed):
        return graph
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return bytes(model.SerializeToString(deterministic=True))


def _quantise_scene(graph: GraphProto) -> bool:
    """Whether it has a scene model, whose products then are in 8 bits."""
    from onnx import numpy_helper

    weights = {tensor.name: tensor for tensor in graph.initializer}
    # Equal tensors are stored once; the others are copies of it.
    copies = {n.output[0]: n.input[0] for n in graph.node if n.op_type == "Identity"}
    bases = [name for name in weights if _BASIS.fullmatch(name)]
    for name in bases:
        down, scaled, up = _nodes(graph, name)
        basis_KF = numpy_helper.to_array(weights[name])
        gain = scaled.input[1]
        gain_K = numpy_helper.to_array(weights[copies.get(gain, gain)])
        size_K = 1 / np.sqrt(np.maximum(1 - gain_K, _TINY))
        _in_int8(graph, down, basis_KF, _DOWN_BLOCK)
        _in_int8(graph, up, (basis_KF * size_K[:, None]).T, _UP_BLOCK)
        scaled.input[1] = f"{name}.gain"
        graph.initializer.append(numpy_helper.from_array(gain_K / size_K, scaled.input[1]))
        graph.initializer.remove(weights[name])
    return bool(bases)


def _nodes(graph: GraphProto, basis: str) -> tuple[NodeProto, NodeProto, NodeProto]:
    """V z, g * V z and V^T (g * V z); the node that transposed V is removed."""
    [transpose] = [n for n in graph.node if n.op_type == "Transpose" and n.input[0] == basis]
    products = [n for n in graph.node if n.op_type == "MatMul"]
    [down] = [n for n in products if n.input[1] == transpose.output[0]]
    [up] = [n for n in products if n.input[1] == basis]
    [scaled] = [n for n in graph.node if n.op_type == "Mul" and n.output[0] == up.input[0]]
    graph.node.remove(transpose)
    return down, scaled, up


def _in_int8(
    graph: GraphProto, product: NodeProto, matrix_NK: npt.NDArray[np.float32], block: int
) -> None:
    """Make a product with the transposed of a matrix one with whole numbers that stand for it."""
    from onnx import helper, numpy_helper

    rows, columns = matrix_NK.shape
    whole, scale = _whole_numbers(matrix_NK, block)
    names = [f"{product.output[0]}.{part}" for part in ("int8", "scale")]
    graph.initializer.append(numpy_helper.from_array(whole, names[0]))
    graph.initializer.append(numpy_helper.from_array(scale, names[1]))
    product.op_type, product.domain = _PRODUCT, _DOMAIN
    product.input[1] = names[0]
    product.input.append(names[1])
    facts = {"N": rows, "K": columns, "bits": 8, "block_size": block}
    facts |= {"accuracy_level": _WHOLE_NUMBERS}
    product.attribute.extend(helper.make_attribute(name, value) for name, value in facts.items())


def _whole_numbers(
    matrix_NK: npt.NDArray[np.float32], block: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Whole numbers + 128 [N, blocks, block], the last block filled with zeros; scales [N, blocks].

    A block of zeros has a scale of 1.
    """
    rows, columns = matrix_NK.shape
    padded = np.pad(matrix_NK, ((0, 0), (0, -columns % block))).reshape(rows, -1, block)
    scale = np.abs(padded).max(axis=2) / _LARGEST
    scale[scale == 0] = 1
    whole = np.rint(padded / scale[:, :, None]) + _ZERO
    return whole.astype(np.uint8), scale.astype(np.float32)

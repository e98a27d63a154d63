"""The scene model's products in 8 bits, in a graph that has them in fp32.

Its principal maps V are most of what scoring reads from memory. Both V^T and V become whole
numbers with one scale a column; the other factor of each product becomes whole numbers while an
image is scored, with one scale for the image, and there small coefficients would be lost beside
large ones. So each is divided by its usual size σ, and its map multiplied by it:

    V^T (g ⊙ V z) = (σ V)^T (g / σ ⊙ V z),  σ² = 1 / (1 − g)

up to a factor, since a gain g is 1 − noise / variance of its coefficient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

_DOMAIN = "com.microsoft"
_PRODUCT = "DynamicQuantizeMatMul"
_BASIS, _GAIN = "scene.basis_", "scene.gain_"
_ZERO, _LARGEST = 128, 127
"""Unsigned bytes around 128: products with signed ones overflow on older processors."""
_TINY = 1e-6
"""Least 1 - g, and least size of a column: nothing is divided by zero."""


def quantise_scene(graph: bytes) -> bytes:
    """A graph that ``export_onnx`` made, with its scene model's products in 8 bits.

    The same graph gives the same bytes; one without a scene model stays as it is.
    """
    import onnx  # not where a packaged graph is only run
    from onnx import helper, numpy_helper

    model = onnx.load_from_string(graph)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    bases = [name for name in weights if name.startswith(_BASIS)]
    if not bases:
        return graph
    for name in bases:
        gain = weights[name.replace(_BASIS, _GAIN)]
        basis_KF, gain_K = (numpy_helper.to_array(t) for t in (weights[name], gain))
        sigma_K = 1 / np.sqrt(np.maximum(1 - gain_K, _TINY))
        gain.CopyFrom(numpy_helper.from_array(gain_K / sigma_K, gain.name))
        down, up = _products(model.graph, name)
        _in_int8(model.graph, down, basis_KF.T)
        _in_int8(model.graph, up, basis_KF * sigma_K[:, None])
        model.graph.initializer.remove(weights[name])
    model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    return bytes(model.SerializeToString(deterministic=True))


def _products(graph: GraphProto, basis: str) -> tuple[NodeProto, NodeProto]:
    """The product with a basis transposed, whose transposition is removed, and the one with it."""
    [transpose] = [n for n in graph.node if n.op_type == "Transpose" and n.input[0] == basis]
    products = [n for n in graph.node if n.op_type == "MatMul"]
    [down] = [n for n in products if n.input[1] == transpose.output[0]]
    [up] = [n for n in products if n.input[1] == basis]
    graph.node.remove(transpose)
    return down, up


def _in_int8(graph: GraphProto, product: NodeProto, matrix: npt.NDArray[np.float32]) -> None:
    """Make a product one with whole numbers, which stand for ``matrix``."""
    weights = _whole_numbers(product.output[0], matrix)
    graph.initializer.extend(weights)
    product.op_type, product.domain = _PRODUCT, _DOMAIN
    product.input[1] = weights[0].name
    product.input.extend(tensor.name for tensor in weights[1:])


def _whole_numbers(name: str, matrix: npt.NDArray[np.float32]) -> list[TensorProto]:
    """Whole numbers [rows, columns], and for each column a scale and what stands for 0."""
    from onnx import numpy_helper

    scale = np.maximum(np.abs(matrix).max(axis=0), _TINY) / _LARGEST
    parts = {
        "int8": (np.rint(matrix / scale) + _ZERO).astype(np.uint8),
        "scale": scale.astype(np.float32),
        "zero": np.full(len(scale), _ZERO, np.uint8),
    }
    return [numpy_helper.from_array(value, f"{name}.{part}") for part, value in parts.items()]

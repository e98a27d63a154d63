"""A fixed piece of work on ONNX Runtime: its time says how fast the machine is just now."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

_CHANNELS, _SIDE = 64, 64


def reference_convolution() -> Callable[[], object]:
    """Four 3 x 3 convolutions in a row, 64 channels of 64 x 64: 1.2 G operations."""
    weights = np.random.default_rng(0).standard_normal((_CHANNELS, _CHANNELS, 3, 3), np.float32)
    weights /= 24  # keeps values of order 1
    nodes = [
        helper.make_node("Conv", [f"x{i}", "weights"], [f"x{i + 1}"], pads=[1, 1, 1, 1])
        for i in range(4)
    ]
    shape = [1, _CHANNELS, _SIDE, _SIDE]
    graph = helper.make_graph(
        nodes,
        "reference",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("x4", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    pixels = np.random.default_rng(1).standard_normal(shape, np.float32)
    return lambda: session.run(None, {"x0": pixels})

"""What scores a view: torch's network, or its ONNX graph on ONNX Runtime.

On a CPU the graph takes about half of torch's time, and it needs no torch: a service that has one
starts seconds earlier.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

INPUT = "view"
OUTPUTS = ["heat_map", "score"]
"""Names that a graph has for what goes in and comes out."""
WITH_MAP = "with_heat_map"
"""Of a further input, bool, which is true where it is left out."""


@runtime_checkable
class Engine(Protocol):
    """What scores a view: the network in torch (``Scorer``), or its ONNX graph."""

    def score_view(self, view_3HW: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """Heat map [H, W] and score of one view [3, H, W]."""


class OnnxEngine:
    """An ONNX graph that ``export_onnx`` made.

    Args:
        graph: the bytes of the file.
        threads: CPU threads for one image; 0: all cores.

    Raises:
        ValueError: when it is not such a graph.
    """

    def __init__(self, graph: bytes, threads: int = 0) -> None:
        self.graph = graph
        self._session = _session_of(graph, threads)
        asked = [one.name for one in self._session.get_overridable_initializers()]
        self._no_map = {WITH_MAP: np.array(False)} if WITH_MAP in asked else {}
        names = [output.name for output in self._session.get_outputs()]
        if names != OUTPUTS or [i.name for i in self._session.get_inputs()] != [INPUT]:
            raise ValueError(f"its outputs are {names}, not {OUTPUTS}")

    def score_view(self, view_3HW: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """Heat map [H, W] and score of one view [3, H, W]."""
        map_1HW, score_1 = self._session.run(OUTPUTS, {INPUT: view_3HW[None]})
        return map_1HW[0], float(score_1[0])

    def score_alone(self, view_3HW: npt.NDArray[np.uint8]) -> float:
        """The same score of one view [3, H, W], to the last bit, and no heat map.

        A graph that was packaged before heat maps were made on demand makes one all the same.
        """
        [score_1] = self._session.run(OUTPUTS[1:], {INPUT: view_3HW[None], **self._no_map})
        return float(score_1[0])


def _session_of(graph: bytes, threads: int) -> Any:
    """ONNX Runtime's session of a graph.

    Raises:
        ValueError: when it refuses the graph.
    """
    import onnxruntime  # not above: it starts a thread, beside which no step may be forked

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Waiting threads sleep: spinning ones slow down whatever else the machine does.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - its exceptions share no base of their own
        raise ValueError(str(error).splitlines()[0]) from None

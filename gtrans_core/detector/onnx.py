"""A second engine for the packaged network: the whole of it as one ONNX graph, on ONNX Runtime.

On a CPU it takes about half of torch's time. It is packaged only where it gives the same scores.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from gtrans_core.network.scorer import Scorer

PARITY = 1e-4
"""Largest relative difference of a score that counts as the same."""
PARITY_VIEWS = 16
"""Images that are enough to look at it on."""
_INPUT = "view"
_OUTPUTS = ["heat_map", "score"]
_OPSET = 17


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
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Waiting threads sleep: spinning ones slow down whatever else the machine does.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        self.graph = graph
        try:
            self._session = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - its exceptions share no base of their own
            raise ValueError(str(error).splitlines()[0]) from None
        names = [output.name for output in self._session.get_outputs()]
        if names != _OUTPUTS or [i.name for i in self._session.get_inputs()] != [_INPUT]:
            raise ValueError(f"its outputs are {names}, not {_OUTPUTS}")

    def score_view(self, view_3HW: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """Heat map [H, W] and score of one view [3, H, W]."""
        map_1HW, score_1 = self._session.run(_OUTPUTS, {_INPUT: view_3HW[None]})
        return map_1HW[0], float(score_1[0])


def export_onnx(scorer: Scorer, size: int) -> bytes:
    """The scorer as an ONNX graph: a uint8 view [1, 3, S, S] in, heat map and score out.

    The same scorer gives the same bytes, in any process.

    Args:
        scorer: on the CPU.
        size: S, the side of the network's input in pixels.

    Raises:
        ValueError: when ONNX lacks an operation of the backbone.
    """
    file = io.BytesIO()
    view = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The newer exporter needs one more package, and loops over Python's constants warn.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                scorer,
                (view,),
                file,  # type: ignore[arg-type]  # its older exporter takes one; torch's types do not
                dynamo=False,
                input_names=[_INPUT],
                output_names=_OUTPUTS,
                opset_version=_OPSET,
                # ONNX Runtime folds constants itself; here it would only store them twice.
                do_constant_folding=False,
            )
    except (RuntimeError, torch.onnx.OnnxExporterError) as error:
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from None
    return _canonical(file.getvalue())


def _canonical(graph: bytes) -> bytes:
    """The same graph with its weights ordered by name: the exporter's order changes each time."""
    import onnx  # not where a packaged graph is only run

    model = onnx.load_from_string(graph)
    weights = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    return bytes(model.SerializeToString(deterministic=True))


def largest_difference(reference: Engine, other: Engine, views: npt.NDArray[np.uint8]) -> float:
    """Largest |s' − s| / |s| over views [N, 3, S, S], N > 0; s and s' the engines' scores."""
    first = np.array([reference.score_view(view)[1] for view in views])
    second = np.array([other.score_view(view)[1] for view in views])
    return float(np.max(np.abs(second - first) / np.abs(first)))


def package_graph(
    scorer: Scorer, views: npt.NDArray[np.uint8], say: Callable[[str], None]
) -> OnnxEngine | None:
    """The scorer's graph if ONNX Runtime gives its scores within ``PARITY``, else None.

    Args:
        scorer: the network in torch.
        views: good images [N, 3, S, S] to compare both on.
        say: is told why there is none.
    """
    try:
        engine = OnnxEngine(export_onnx(scorer, views.shape[-1]))
        difference = largest_difference(scorer, engine, views)
    except ValueError as error:
        say(f"packaged for torch: ONNX Runtime cannot run this network ({error})")
        return None
    if not difference <= PARITY:
        say(f"packaged for torch: ONNX Runtime scores differ by {difference:.1e} > {PARITY:.0e}")
        return None
    return engine

"""A second engine for the packaged network: the whole of it as one ONNX graph.

It is packaged only where it gives the same scores.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from gtrans_core.detector.engine import INPUT, OUTPUTS, Engine, OnnxEngine
from gtrans_core.network.backbone import fix_input_shape
from gtrans_core.network.scorer import Scorer

PARITY = 1e-4
"""Largest relative difference of a score that counts as the same."""
PARITY_VIEWS = 16
"""Images that are enough to look at it on."""
_OPSET = 17


def export_onnx(scorer: Scorer, shape: tuple[int, int]) -> bytes:
    """The scorer as an ONNX graph: a uint8 view [1, 3, H, W] in, heat map and score out.

    The same scorer gives the same bytes, in any process.

    Args:
        scorer: on the CPU.
        shape: height and width of the network's input in pixels.

    Raises:
        ValueError: when ONNX lacks an operation of the backbone.
    """
    file = io.BytesIO()
    if scorer.agn.spec.blocks:
        scorer = copy.deepcopy(scorer)
        fix_input_shape(scorer, scorer.config.image.input_shape)
    view = torch.zeros(1, 3, *shape, dtype=torch.uint8)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            # The newer exporter needs one more package, and loops over Python's constants warn.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                scorer,
                (view,),
                file,  # type: ignore[arg-type]  # its older exporter takes one; torch's types do not
                dynamo=False,
                input_names=[INPUT],
                output_names=OUTPUTS,
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
    """Largest |s' − s| / |s| over views [N, 3, H, W], N > 0; s and s' the engines' scores."""
    first = np.array([reference.score_view(view)[1] for view in views])
    second = np.array([other.score_view(view)[1] for view in views])
    return float(np.max(np.abs(second - first) / np.abs(first)))


def package_graph(
    scorer: Scorer, views: npt.NDArray[np.uint8], say: Callable[[str], None]
) -> OnnxEngine | None:
    """The scorer's graph if ONNX Runtime gives its scores within ``PARITY``, else None.

    Args:
        scorer: the network in torch.
        views: good images [N, 3, H, W] to compare both on.
        say: is told why there is none.
    """
    try:
        height, width = views.shape[-2:]
        engine = OnnxEngine(export_onnx(scorer, (height, width)))
        difference = largest_difference(scorer, engine, views)
    except ValueError as error:
        say(f"packaged for torch: ONNX Runtime cannot run this network ({error})")
        return None
    if not difference <= PARITY:
        say(f"packaged for torch: ONNX Runtime scores differ by {difference:.1e} > {PARITY:.0e}")
        return None
    return engine

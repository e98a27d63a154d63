"""What good images decide: the graph that is packaged, and the threshold of its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from gtrans_core.config import GTransConfig
from gtrans_core.detector.engine import Engine, OnnxEngine
from gtrans_core.detector.int8 import MEMORY, SCENE, quantise
from gtrans_core.detector.on_demand import heat_map_on_demand
from gtrans_core.detector.onnx import PARITY_VIEWS, package_graph
from gtrans_core.detector.reading import reading
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.network.scorer import Scorer

INT8_PARITY = 1e-3
"""Largest relative difference of a score for which a detector is packaged in int8."""

Views = Callable[[], Iterable[npt.NDArray[np.uint8]]]
"""Good images as the network sees them, uint8 [3, H, W] each, from the first one on."""


@dataclass(frozen=True)
class Calibration:
    """Scores of good images [N] by what is packaged, and the threshold at a false-alarm rate.

    The images are held-out ones and the threshold is theirs, unless it is cross-fitted: ``scores``
    are then those by models that lacked the images. ``map_middle`` is the threshold of the same
    images' heat maps, were the score read from them: a heat map is drawn with it in the middle.
    ``graph`` is None where torch scores; ``note`` says in which precision it is packaged and why,
    empty where there was nothing to choose.
    """

    graph: OnnxEngine | None
    scores: npt.NDArray[np.float64]
    threshold: float
    map_middle: float
    rate: float
    note: str = ""

    @property
    def flagged(self) -> npt.NDArray[np.bool_]:
        """Which of the images are above the threshold, [N]."""
        return self.scores > self.threshold


def calibrate(
    scorer: Scorer,
    config: GTransConfig,
    views: Views,
    say: Callable[[str], None],
    cross_fitted: npt.NDArray[np.float64] | None = None,
) -> Calibration:
    """Choose what is packaged, and the threshold of its scores.

    Args:
        scorer: the network in torch.
        config: whose ``scoring`` says what is wanted.
        views: held-out good images; where the threshold is cross-fitted, those learnt from.
        say: is told what is packaged in another way than wanted.
        cross_fitted: readings [N, 2] (``reading``) that the threshold comes from, and not from
            the views'.
    """
    alpha = config.evaluation.false_alarm_rate

    def calibration(engine: Engine, graph: OnnxEngine | None) -> Calibration:
        own = np.array([reading(engine, view, config) for view in views()])
        scores, reached = (own if cross_fitted is None else cross_fitted).T
        threshold, rate = promised_threshold(scores, alpha)
        return Calibration(graph, own[:, 0], threshold, promised_threshold(reached, alpha)[0], rate)

    plain = graph = None
    if config.scoring.engine == "onnxruntime":
        plain = package_graph(scorer, np.stack(list(islice(views(), PARITY_VIEWS))), say)
    if plain is not None:
        graph = OnnxEngine(heat_map_on_demand(plain.graph))
    found = calibration(graph or scorer, graph)
    if plain is not None and config.scoring.scene_precision == "int8":
        for parts in _ways_to_int8(config):
            what = " and ".join(parts)
            try:
                engine = OnnxEngine(heat_map_on_demand(quantise(plain.graph, parts)))
                light = calibration(engine, engine)
            except ValueError as error:
                say(f"{what} not packaged in int8: cannot be run in it ({error})")
                continue
            found = _chosen(found, light, what, say)
            if found.graph is engine:
                break
    return found if cross_fitted is None else replace(found, scores=cross_fitted[:, 0])


def _ways_to_int8(config: GTransConfig) -> list[tuple[str, ...]]:
    """What may be packaged in int8, best first: all there is, then what differs least from fp32."""
    parts = (SCENE,) * config.scoring.has_scene + (MEMORY,) * config.has_memory
    return [parts, (MEMORY,)] if len(parts) > 1 else [parts] * bool(parts)


def _chosen(
    full: Calibration, light: Calibration, what: str, say: Callable[[str], None]
) -> Calibration:
    """The light one (int8) if it scores and judges as the full one (fp32)."""
    count = len(full.scores)
    difference = float(np.max(np.abs(light.scores - full.scores) / np.abs(full.scores)))
    flips = int((light.flagged != full.flagged).sum())
    found = (
        f"scores of {count} good images in int8 are within {100 * difference:.2g} % of fp32 "
        f"(up to {100 * INT8_PARITY:.2g} % is accepted), verdicts that change: {flips}"
    )
    fits = difference <= INT8_PARITY and flips == 0
    line = f"{what} {'' if fits else 'not '}packaged in int8: {found}"
    if not fits:
        say(line)
    note = f"{full.note} {line[0].upper()}{line[1:]}.".lstrip()
    return replace(light if fits else full, note=note)

"""What held-out good images decide: the graph that is packaged, and the threshold of its scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from gtrans_core.config import GTransConfig
from gtrans_core.detector.int8 import quantise_scene
from gtrans_core.detector.onnx import PARITY_VIEWS, Engine, OnnxEngine, package_graph
from gtrans_core.detector.thresholds import conformal_threshold
from gtrans_core.network.score import image_score
from gtrans_core.network.scorer import Scorer

INT8_PARITY = 1e-3
"""Largest relative difference of a score for which the scene model is packaged in int8."""

Views = Callable[[], Iterable[npt.NDArray[np.uint8]]]
"""Held-out good images as the network sees them, uint8 [3, S, S] each, from the first one on."""


@dataclass(frozen=True)
class Calibration:
    """Scores of held-out good images [N] by what is packaged, and their threshold.

    ``map_middle`` is the threshold of the same images' heat maps, were the score read from them: a
    heat map is drawn with it in the middle. ``graph`` is None where torch scores; ``note`` says
    which precision the scene model got and why, empty where there was nothing to choose.
    """

    graph: OnnxEngine | None
    scores: npt.NDArray[np.float64]
    threshold: float
    map_middle: float
    note: str = ""

    @property
    def flagged(self) -> npt.NDArray[np.bool_]:
        """Which held-out good images are above the threshold, [N]."""
        return self.scores > self.threshold


def calibrate(
    scorer: Scorer, config: GTransConfig, views: Views, say: Callable[[str], None]
) -> Calibration:
    """Choose what is packaged, and the threshold of its scores.

    Args:
        scorer: the network in torch.
        config: whose ``scoring`` says what is wanted.
        views: held-out good images.
        say: is told what is packaged otherwise than wanted.

    Raises:
        ValueError: for fewer images than ``evaluation.false_alarm_rate`` needs.
    """
    graph = None
    if config.scoring.engine == "onnxruntime":
        graph = package_graph(scorer, np.stack(list(islice(views(), PARITY_VIEWS))), say)
    full = _calibration(graph or scorer, graph, views, config)
    if graph is None or not config.scoring.has_scene or config.scoring.scene_precision == "fp32":
        return full
    try:
        engine = OnnxEngine(quantise_scene(graph.graph))
        light = _calibration(engine, engine, views, config)
    except ValueError as error:
        say(f"scene model packaged in fp32: it cannot be run in int8 ({error})")
        return full
    return _chosen(full, light, say)


def _calibration(
    engine: Engine, graph: OnnxEngine | None, views: Views, config: GTransConfig
) -> Calibration:
    alpha, everywhere = config.evaluation.false_alarm_rate, torch.ones(1, 1, 1)
    scores, reached = [], []
    for view in views():
        map_HW, score = engine.score_view(view)
        scores.append(score)
        map_1HW = torch.from_numpy(map_HW)[None]
        reached.append(float(image_score(map_1HW, everywhere, config.scoring)))
    return Calibration(
        graph,
        np.array(scores),
        conformal_threshold(scores, alpha),
        conformal_threshold(reached, alpha),
    )


def _chosen(full: Calibration, light: Calibration, say: Callable[[str], None]) -> Calibration:
    """The light one (int8) if it scores and decides as the full one (fp32)."""
    count = len(full.scores)
    difference = float(np.max(np.abs(light.scores - full.scores) / np.abs(full.scores)))
    flips = int((light.flagged != full.flagged).sum())
    found = (
        f"scores of {count} held-out good images in int8 are within {difference:.1e} of fp32, "
        f"decisions that flip: {flips}"
    )
    if difference <= INT8_PARITY and flips == 0:
        return replace(light, note=f"Scene model packaged in int8: {found}.")
    say(f"scene model packaged in fp32: {found}")
    return replace(full, note=f"Scene model packaged in fp32: {found}.")

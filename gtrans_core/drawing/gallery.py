"""Every figure of an evaluation, and which images are worth showing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from gtrans_core.data.manifest import GOOD
from gtrans_core.drawing.canvas import to_png
from gtrans_core.drawing.figures import loss_curve, pro_figure, roc_figure, score_histogram
from gtrans_core.drawing.heat_maps import Example, heat_map_grid
from gtrans_core.drawing.report import HEAT_MAPS, SCORE_HISTOGRAM, Picture
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.metrics import pro_curve, roc_curve


def draw_gallery(
    evaluation: Evaluation,
    metrics: dict[str, float | None],
    threshold: float,
    map_range: tuple[float, float],
    held_out_scores: Sequence[float],
    history: Sequence[dict[str, float]],
    examples_per_defect: int,
) -> dict[str, Picture]:
    """All pictures of the report by name, as PNG; curves only where their metrics are known."""
    pictures = {
        f"{HEAT_MAPS}_{kind}": _grid(evaluation, kind, threshold, map_range, examples_per_defect)
        for kind in [*evaluation.defects, GOOD]
        if len(evaluation.positions(kind))
    }
    kinds = [GOOD, *evaluation.defects]
    scores = {kind: evaluation.scores[evaluation.positions(kind)].tolist() for kind in kinds}
    pictures[SCORE_HISTOGRAM] = Picture(
        "Scores of all test images, and of the good ones that the threshold comes from; right of "
        "the line is flagged.",
        to_png(score_histogram(scores, held_out_scores, threshold)),
    )
    if metrics["image_auroc"] is not None:
        fpr, tpr = roc_curve(evaluation.labels, evaluation.scores)
        pictures["roc"] = Picture(
            "Share of defective images caught against the share of good images flagged, over all "
            "thresholds.",
            to_png(roc_figure(fpr, tpr, metrics["image_auroc"], "Images")),
        )
    if evaluation.masks is not None and metrics["au_pro_30"] is not None:
        fpr, pro = pro_curve(evaluation.masks, evaluation.maps, 0.3)
        pictures["pro"] = Picture(
            "How much of each defect region the heat map covers, against the share of good "
            "pixels it covers wrongly.",
            to_png(pro_figure(fpr, pro, metrics["au_pro_30"])),
        )
    if history:
        pictures["loss"] = Picture(
            "Loss on training images and on held-out good images.", to_png(loss_curve(history))
        )
    return pictures


def _grid(
    evaluation: Evaluation,
    kind: str,
    threshold: float,
    map_range: tuple[float, float],
    count: int,
) -> Picture:
    """The images of a kind that the detector does worst on, and those it does best on."""
    worst_first = _worst_first(evaluation, kind)
    chosen = list(dict.fromkeys([*worst_first[:count], *worst_first[-count:]]))
    examples = [_example(evaluation, position, threshold) for position in chosen]
    figure = heat_map_grid(examples, threshold, map_range)
    hardest = "highest" if kind == GOOD else "lowest"
    return Picture(
        f"{kind}: the {hardest}-scoring images first (the hardest for the detector), then the "
        "easiest.",
        to_png(figure),
    )


def _worst_first(evaluation: Evaluation, kind: str) -> list[int]:
    positions = evaluation.positions(kind)
    order = np.argsort(evaluation.scores[positions], kind="stable")
    ranked = positions[order[::-1] if kind == GOOD else order]
    return [int(position) for position in ranked]


def _example(evaluation: Evaluation, position: int, threshold: float) -> Example:
    sample = evaluation.samples[position]
    score = float(evaluation.scores[position])
    return Example(
        name=PurePosixPath(sample.path).name,
        defect=sample.defect,
        image=evaluation.views[position].transpose(1, 2, 0),
        heat_map=evaluation.maps[position],
        mask=evaluation.masks[position] if evaluation.masks is not None else None,
        score=score,
        is_anomalous=score > threshold,
    )

"""Every figure of an evaluation, and which images are worth showing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gtrans_core.data.manifest import GOOD
from gtrans_core.drawing.canvas import to_png, to_svg
from gtrans_core.drawing.exhibits import make_exhibits
from gtrans_core.drawing.figures import loss_curve, pro_figure, roc_figure, score_histogram
from gtrans_core.drawing.heat_maps import Example, heat_map_grid
from gtrans_core.drawing.shown import Curve, Exhibit, Gallery
from gtrans_core.drawing.threshold_chart import threshold_chart
from gtrans_core.evaluation.evaluation import Evaluation
from gtrans_core.evaluation.image_table import ImageResult, false_alarms, misses
from gtrans_core.evaluation.metrics import pro_curve, roc_curve

MOST_MISTAKES = 60
"""Misses and false alarms that a report shows, together."""


def draw_gallery(
    evaluation: Evaluation,
    results: Sequence[ImageResult],
    metrics: dict[str, float | None],
    threshold: float,
    map_level: float,
    held_out_scores: Sequence[float],
    history: Sequence[dict[str, float]],
    examples_per_defect: int,
) -> Gallery:
    """Draw everything.

    Args:
        evaluation: the scored test split.
        results: a row for each of its images, in its order.
        metrics: of the split; None where it cannot tell.
        threshold: images whose score is above it are flagged.
        map_level: heat-map value from which on a pixel is unusual.
        held_out_scores: of the good images that the threshold comes from.
        history: rows of the training journal.
        examples_per_defect: so many of the hardest, and of the easiest, of each kind.
    """
    chosen = {
        kind: _hardest_and_easiest(evaluation, kind, examples_per_defect)
        for kind in [*evaluation.defects, GOOD]
        if len(evaluation.positions(kind))
    }
    curves = _curves(evaluation, metrics, history)
    kinds = [GOOD, *evaluation.defects]
    scores = {kind: evaluation.scores[evaluation.positions(kind)].tolist() for kind in kinds}
    files = {
        f"heat_maps_{kind}": _sheet(evaluation, at, threshold, map_level)
        for kind, at in chosen.items()
    }
    files["score_histogram"] = to_png(score_histogram(scores, held_out_scores, threshold))
    files |= {name: to_png(figure) for name, (_, figure) in curves.items()}

    def exhibits(positions: Sequence[int]) -> tuple[Exhibit, ...]:
        return make_exhibits(evaluation, results, positions, map_level)

    return Gallery(
        files=files,
        curves=tuple(Curve(caption, to_svg(figure)) for caption, figure in curves.values()),
        mistakes=exhibits(_mistakes(results)),
        examples={kind: exhibits(positions) for kind, positions in chosen.items()},
        chart=threshold_chart(scores, held_out_scores, threshold) if len(results) else None,
    )


def _curves(
    evaluation: Evaluation,
    metrics: dict[str, float | None],
    history: Sequence[dict[str, float]],
) -> dict[str, tuple[str, Figure]]:
    """Captions and figures by name."""
    drawn = {}
    if metrics["image_auroc"] is not None:
        fpr, tpr = roc_curve(evaluation.labels, evaluation.scores)
        drawn["roc"] = (
            "Share of defective images caught against the share of good images flagged, over all "
            "thresholds.",
            roc_figure(fpr, tpr, metrics["image_auroc"], "Images"),
        )
    if evaluation.masks is not None and metrics["au_pro_30"] is not None:
        fpr, pro = pro_curve(
            evaluation.masks,
            evaluation.maps,
            counted=evaluation.counted,
            images=evaluation.drawn,
        )
        drawn["pro"] = (
            "How much of each defect region the heat map covers, against the share of good "
            "pixels it covers wrongly.",
            pro_figure(fpr, pro, metrics["au_pro_30"]),
        )
    if history:
        watched = any("held_out_loss" in row for row in history)
        held_out = " and on held-out good images" if watched else ""
        drawn["loss"] = f"Loss on training images{held_out}.", loss_curve(history)
    return drawn


def _mistakes(results: Sequence[ImageResult]) -> list[int]:
    """Positions of misses, then of false alarms: half each, or what the other leaves."""
    missed, alarms = misses(results), false_alarms(results)
    half = MOST_MISTAKES // 2
    of_misses = max(half, MOST_MISTAKES - len(alarms))
    shown = [*missed[:of_misses], *alarms[: MOST_MISTAKES - min(len(missed), of_misses)]]
    position = {id(result): at for at, result in enumerate(results)}
    return [position[id(result)] for result in shown]


def _hardest_and_easiest(evaluation: Evaluation, kind: str, count: int) -> list[int]:
    """Positions of the images that the detector does worst on, then of those it does best on."""
    positions = evaluation.positions(kind)
    order = np.argsort(evaluation.scores[positions], kind="stable")
    ranked = positions[order[::-1] if kind == GOOD else order].tolist()
    return list(dict.fromkeys([*ranked[:count], *ranked[-count:]]))


def _sheet(
    evaluation: Evaluation, positions: Sequence[int], threshold: float, map_level: float
) -> bytes:
    examples = [_example(evaluation, position, threshold) for position in positions]
    return to_png(heat_map_grid(examples, threshold, (0.0, 2 * map_level)))


def _example(evaluation: Evaluation, position: int, threshold: float) -> Example:
    sample = evaluation.samples[position]
    score = float(evaluation.scores[position])
    return Example(
        name=sample.path,
        defect=sample.defect,
        image=evaluation.views[position].transpose(1, 2, 0),
        heat_map=evaluation.maps[position],
        mask=evaluation.mask(position),
        score=score,
        is_anomalous=score > threshold,
    )

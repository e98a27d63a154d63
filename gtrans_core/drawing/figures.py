"""Figures of an evaluation and of single predictions, drawn without any global plotting state.

Whatever a colour says, words on the figure say too. Every function raises ValueError for values
that are not finite. Those with images are in ``heat_maps``, and reachable from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gtrans_core.data.manifest import GOOD
from gtrans_core.drawing.bins import bin_edges, spans_decades
from gtrans_core.drawing.canvas import (
    BLUE,
    GREY,
    INK,
    VERMILION,
    finite,
    new_figure,
    new_plot,
    plain_log,
    style,
    to_png,
)
from gtrans_core.drawing.heat_maps import Example, heat_map_figure, heat_map_grid, overlay
from gtrans_core.drawing.threshold_chart import FOR_THRESHOLD
from gtrans_core.system.text import score_text

__all__ = [
    "Example",
    "heat_map_figure",
    "heat_map_grid",
    "loss_curve",
    "overlay",
    "pro_figure",
    "roc_figure",
    "score_histogram",
    "to_png",
]

_PRO_LIMIT = 0.3


def roc_figure(fpr: npt.ArrayLike, tpr: npt.ArrayLike, auroc: float, title: str) -> Figure:
    """ROC curve.

    Args:
        fpr: false-positive rates [K], fractions from 0 to 1, rising.
        tpr: true-positive rates [K].
        auroc: the area below the curve, as computed exactly elsewhere.
        title: what is classified, such as ``Images`` or ``Pixels``.
    """
    figure, axes = new_plot(f"{title}: AUROC {auroc:.3f}")
    _draw_curve(axes, fpr, tpr)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="guessing")
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.02))
    axes.set_xlabel("false-positive rate (share of what is good)")
    axes.set_ylabel("true-positive rate (share of defects)")
    axes.legend(loc="lower right", frameon=False)
    return figure


def pro_figure(fpr: npt.ArrayLike, pro: npt.ArrayLike, au_pro_30: float) -> Figure:
    """PRO curve up to its limit, a false-positive rate of 0.3.

    Args:
        fpr: false-positive rates [K], fractions of all good pixels, rising.
        pro: per-region overlaps [K], mean fractions of a region.
        au_pro_30: the area up to the limit, divided by 0.3, as computed exactly elsewhere.
    """
    figure, axes = new_plot(f"Defect regions: AU-PRO@0.3 {au_pro_30:.3f}")
    _draw_curve(axes, fpr, pro)
    axes.axvline(_PRO_LIMIT, color=VERMILION, linestyle="--", label="limit (0.3)")
    axes.set(xlim=(-0.003, 1.1 * _PRO_LIMIT), ylim=(0, 1.02))
    axes.set_xlabel("false-positive rate (share of good pixels)")
    axes.set_ylabel("per-region overlap (mean share)")
    axes.legend(loc="lower center", frameon=False)
    return figure


def score_histogram(
    scores_by_defect: Mapping[str, Sequence[float]], held_out: Sequence[float], threshold: float
) -> Figure:
    """Image scores against the threshold: a histogram of each kind, and first of those
    good images that the threshold comes from.

    The axis of scores is logarithmic where they are positive and span more than a decade.

    Args:
        scores_by_defect: raw scores of test images by true kind, in the order they are drawn.
        held_out: raw scores of the good images that the threshold comes from.
        threshold: images whose score is above it are flagged.
    """
    named = {FOR_THRESHOLD: held_out} | {f"test: {k}": v for k, v in scores_by_defect.items()}
    kinds = {name: finite(name, scores) for name, scores in named.items() if len(scores)}
    if not kinds:
        raise ValueError("a score histogram needs at least one score")
    every = np.append(np.concatenate(list(kinds.values())), finite("threshold", threshold))
    logarithmic = spans_decades(every)
    edges = bin_edges(every, threshold, logarithmic)
    figure = new_figure(7.4, 1.2 + 0.85 * len(kinds), constrained=True)
    figure.suptitle("Scores of images against the threshold", size=12, weight="bold", color=INK)
    column = figure.subplots(len(kinds), sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (name, scores) in zip(column, kinds.items(), strict=True):
        style(axes)
        colour = BLUE if name in (FOR_THRESHOLD, f"test: {GOOD}") else VERMILION
        # A bin holds its right edge: a score equal to the threshold is drawn on its "ok" side.
        axes.hist(np.nextafter(scores, -np.inf), bins=edges, color=colour)
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.5)
        title = f"{name} ({int((scores > threshold).sum())} of {len(scores)} flagged)"
        axes.set_title(title, loc="left", size=10, pad=3, parse_math=False)
        axes.set_ylabel("images", size=9)
        axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    column[0].set_title("ok \u2190 threshold \u2192 flagged", loc="right", size=10, pad=3)
    if logarithmic:
        column[-1].set_xscale("log")
        plain_log(column[-1].xaxis)
    scale = ", logarithmic scale" if logarithmic else ""
    column[-1].set_xlabel(f"image score (raw, no unit{scale}); threshold {score_text(threshold)}")
    return figure


def loss_curve(history: Sequence[Mapping[str, float]]) -> Figure:
    """Loss on training images and, where it was recorded, on held-out good images.

    The axis of losses is logarithmic where they span more than a decade.

    Args:
        history: rows with ``step`` and any of ``train_loss`` and ``held_out_loss``.
    """
    figure, axes = new_plot("Training")
    lines = (
        ("train_loss", "training images", BLUE),
        ("held_out_loss", "held-out images", VERMILION),
    )
    losses: list[float] = []
    for key, label, colour in lines:
        points = finite(key, [(row["step"], row[key]) for row in history if key in row])
        if len(points):
            marker = "o" if len(points) <= 50 else None
            axes.plot(*points.T, color=colour, marker=marker, markersize=4, label=label)
            losses.extend(points[:, 1])
    if not losses:
        raise ValueError("a loss curve needs at least one row with a loss")
    if spans_decades(np.array(losses)):
        axes.set_yscale("log")
        plain_log(axes.yaxis)
    axes.set_xlabel("training step (batches)")
    axes.set_ylabel("loss (1 \u2212 cosine, no unit)")
    axes.legend(frameon=False)
    return figure


def _draw_curve(axes: Axes, x: npt.ArrayLike, y: npt.ArrayLike) -> None:
    across, up = finite("x", x), finite("y", y)
    axes.plot(across, up, color=BLUE, linewidth=2, label="this detector")
    axes.fill_between(across, up, color=BLUE, alpha=0.12, linewidth=0)

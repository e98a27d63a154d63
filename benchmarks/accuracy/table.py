"""Rows of several seeds and categories -> a Markdown table with mean ± sd."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, stdev

from benchmarks.accuracy.measure import Row
from gtrans_core.evaluation.metric_names import labels_of

METRICS = labels_of("image_auroc", "pixel_auroc", "pixel_ap", "au_pro_30")
MEAN = "mean"


def render(rows: Sequence[Row]) -> str:
    """One table a category and one of the means over categories, methods in their first order."""
    categories = list(dict.fromkeys(row.category for row in rows))
    parts = [
        _table(category, [r for r in rows if r.category == category]) for category in categories
    ]
    if len(categories) > 1:
        parts.insert(0, _table(f"mean over {' and '.join(categories)}", mean_rows(rows)))
    return "\n\n".join(parts) + "\n"


def mean_rows(rows: Sequence[Row]) -> list[Row]:
    """For each method and seed that has every category, the mean over categories."""
    categories = {row.category for row in rows}
    means = []
    for method, seed in dict.fromkeys((row.method, row.seed) for row in rows):
        own = [row for row in rows if (row.method, row.seed) == (method, seed)]
        if {row.category for row in own} == categories:
            shared = set.intersection(*(set(row.metrics) for row in own))
            metrics = {name: mean(row.metrics[name] for row in own) for name in shared}
            means.append(Row(method, MEAN, seed, metrics))
    return means


def spread(values: Sequence[float]) -> str:
    """``0.912 ± 0.004``: mean and standard deviation (none for a single value)."""
    if not values:
        return "not available"
    text = f"{mean(values):.3f}"
    return f"{text} ± {stdev(values):.3f}" if len(values) > 1 else text


def _table(title: str, rows: Sequence[Row]) -> str:
    lines = [
        f"**{title}**",
        "",
        f"| method | seeds | {' | '.join(METRICS.values())} |",
        f"|---|---|{'---|' * len(METRICS)}",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells = [spread([r.metrics[m] for r in own if m in r.metrics]) for m in METRICS]
        seeds = ", ".join(str(r.seed) for r in own)
        lines.append(f"| {method} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)

"""Rows of several seeds and categories -> a Markdown table with mean ± sd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean, stdev
from types import MappingProxyType

from benchmarks.accuracy.measure import Row
from gtrans_core.evaluation.metric_names import labels_of

METRICS = labels_of("image_auroc", "pixel_auroc", "pixel_ap", "au_pro_30")
MEAN = "mean"
EMPTY: Mapping[str, str] = MappingProxyType({})


def render(rows: Sequence[Row]) -> str:
    """Tables of the mean, of what one category's absence changes, and of each category."""
    categories = list(dict.fromkeys(row.category for row in rows))
    parts = [
        _table(category, [r for r in rows if r.category == category]) for category in categories
    ]
    if len(categories) > 1:
        means = _table(f"mean over {' and '.join(categories)}", mean_rows(rows))
        parts = [means, *filter(None, [_left_out(rows, categories)]), *parts]
    return "\n\n".join(parts) + "\n"


def mean_rows(rows: Sequence[Row]) -> list[Row]:
    """For each method and seed that has every category, the mean over categories.

    Metrics of pixels are averaged over the categories that have masks.
    """
    categories = {row.category for row in rows}
    means = []
    for method, seed in dict.fromkeys((row.method, row.seed) for row in rows):
        own = [row for row in rows if (row.method, row.seed) == (method, seed)]
        if {row.category for row in own} == categories:
            known = dict.fromkeys(name for row in own for name in row.metrics)
            metrics = {n: mean(r.metrics[n] for r in own if n in r.metrics) for n in known}
            means.append(Row(method, MEAN, seed, metrics))
    return means


def spread(values: Sequence[float]) -> str:
    """``0.912 ± 0.004``: mean and standard deviation (none for a single value)."""
    if not values:
        return "not available"
    text = f"{mean(values):.3f}"
    return f"{text} ± {stdev(values):.3f}" if len(values) > 1 else text


def _left_out(rows: Sequence[Row], categories: Sequence[str]) -> str:
    """Which method the other categories choose for each one, and what it does there."""
    if len(categories) < 3 or len({row.method for row in rows}) < 2:
        return ""
    lines = [
        "**Leaving one category out.** The method with the best mean over the others: its result "
        "on the category left out, and in brackets the best of all methods there.",
        "",
        f"| left out | {' | '.join(METRICS.values())} |",
        f"|---|{'---|' * len(METRICS)}",
    ]
    for category in categories:
        others = mean_rows([row for row in rows if row.category != category])
        own = [row for row in rows if row.category == category]
        cells = [_chosen(_by_method(others, m), _by_method(own, m)) for m in METRICS]
        lines.append(f"| {category} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_method(rows: Sequence[Row], metric: str) -> dict[str, float]:
    """Each method's mean over seeds, where it has the metric."""
    known = [row for row in rows if metric in row.metrics]
    return {
        method: mean(row.metrics[metric] for row in known if row.method == method)
        for method in dict.fromkeys(row.method for row in known)
    }


def _chosen(others: Mapping[str, float], own: Mapping[str, float]) -> str:
    """``default: 0.912 (0.914)``."""
    common = [method for method in others if method in own]
    if not common:
        return "not available"
    best = max(common, key=others.__getitem__)
    return f"{best}: {own[best]:.3f} ({max(own.values()):.3f})"


def _table(title: str, rows: Sequence[Row]) -> str:
    return method_table(f"**{title}**", rows, METRICS)


def method_table(
    title: str, rows: Sequence[Row], columns: Mapping[str, str], costs: Mapping[str, str] = EMPTY
) -> str:
    """A line a method: its seeds, mean ± sd of metrics over them, and the mean of costs.

    Args:
        title: the line above the table.
        rows: of one category, or of means.
        columns: metric -> what it is called.
        costs: fact -> what it is called; shown as whole numbers, behind the metrics.
    """
    heads = [*columns.values(), *costs.values()]
    lines = [
        title,
        "",
        f"| method | seeds | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(heads)}",
    ]
    for method in dict.fromkeys(row.method for row in rows):
        own = [row for row in rows if row.method == method]
        cells = [spread([r.metrics[m] for r in own if m in r.metrics]) for m in columns]
        cells += [f"{round(mean(row.facts[cost] for row in own)):,}" for cost in costs]
        seeds = ", ".join(str(row.seed) for row in own)
        lines.append(f"| {method} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)

"""The table of measured false-alarm rates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple

_HEAD = (
    "| category | good images | how | splits | promised | flagged, mean ± sd | worst split |\n"
    "|---|---|---|---|---|---|---|"
)


class Outcome(NamedTuple):
    """One random split: of ``others`` further good images, ``flagged`` are above the threshold."""

    category: str
    images: int
    number: int
    how: str
    promised: float
    others: int
    flagged: int


def render(outcomes: Sequence[Outcome]) -> str:
    """One line a category and number of images, as Markdown; rates in percent."""
    lines = [_HEAD]
    for category, images in dict.fromkeys((one.category, one.images) for one in outcomes):
        rows = [one for one in outcomes if (one.category, one.images) == (category, images)]
        rates = [100 * one.flagged / one.others for one in rows]
        spread = statistics.stdev(rates) if len(rates) > 1 else 0.0
        cells = (
            category,
            str(images),
            rows[0].how,
            str(len(rows)),
            f"{100 * rows[0].promised:.3g} %",
            f"{statistics.fmean(rates):.1f} ± {spread:.1f} %",
            f"{max(rates):.0f} %",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)

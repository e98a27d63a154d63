"""What a report shows of images and scores, as plain values: read without what draws them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from gtrans_core.evaluation.image_table import ImageResult


@dataclass(frozen=True)
class Exhibit:
    """One image and what the detector made of it.

    Attributes:
        result: name, kind, score and verdict.
        shape: height and width of the network's view, whose pixels contour and outline count.
        aspect: width over height of the part as the camera saw it.
        image: WebP of the network's view.
        heat: WebP of the heat map; the colder, the more transparent.
        contour: SVG path around all that is unusual; empty where nothing is.
        outline: SVG path around the true defect; empty where nobody drew it.
    """

    result: ImageResult
    shape: tuple[int, int]
    aspect: float
    image: bytes
    heat: bytes
    contour: str
    outline: str


class Curve(NamedTuple):
    """A figure as an SVG element, with the sentence that says what to see in it."""

    caption: str
    svg: str


@dataclass(frozen=True)
class Bar:
    """One bin that holds images; place and width are shares of the axis, height of the highest."""

    place: float
    width: float
    height: float


@dataclass(frozen=True)
class ScoreRow:
    """The scores of one kind.

    Attributes:
        name: the kind.
        is_good: whether flagging it is an error.
        is_tested: false for the held-out images, which the threshold comes from.
        scores: raw, one an image.
        flagged: how many of them are above the threshold in use.
        bars: of the histogram.
    """

    name: str
    is_good: bool
    is_tested: bool
    scores: tuple[float, ...]
    flagged: int
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class ThresholdChart:
    """Rows over one axis of scores from ``low`` to ``high``.

    Attributes:
        rows: held-out good images, good test images, then each kind of defect.
        threshold: the one in use.
        place: where it is, as a share of the axis.
        low: score at the axis's left end.
        high: score at its right end.
        is_log: whether the axis is logarithmic.
        ticks: places with the numbers to write there.
    """

    rows: tuple[ScoreRow, ...]
    threshold: float
    place: float
    low: float
    high: float
    is_log: bool
    ticks: tuple[tuple[float, str], ...]

    @property
    def facts(self) -> dict[str, Any]:
        """What the slider's script reads, as plain values."""
        rows = [
            {"good": row.is_good, "tested": row.is_tested, "scores": row.scores}
            for row in self.rows
        ]
        axis = {"low": self.low, "high": self.high, "log": self.is_log}
        return {**axis, "threshold": self.threshold, "rows": rows}


@dataclass(frozen=True)
class Gallery:
    """All that is drawn of an evaluation.

    Attributes:
        files: PNG pictures by name, for MLflow.
        curves: for the report; only those whose metrics are known.
        mistakes: misses, then false alarms, the worst first, ``gallery.MOST_MISTAKES`` at most.
        examples: the hardest and the easiest images of each kind, good ones last.
        chart: scores by kind; None where no image was tested.
    """

    files: Mapping[str, bytes]
    curves: tuple[Curve, ...]
    mistakes: tuple[Exhibit, ...]
    examples: Mapping[str, tuple[Exhibit, ...]]
    chart: ThresholdChart | None

"""The evaluation report: one self-contained HTML file that a plant engineer understands."""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gtrans_core.detector.promise import Promise
from gtrans_core.drawing.light import LightSection
from gtrans_core.drawing.pages import page_environment
from gtrans_core.drawing.registration import MARKER
from gtrans_core.drawing.shown import Curve, Exhibit, ThresholdChart
from gtrans_core.evaluation.conclusion import Conclusion
from gtrans_core.evaluation.metric_names import SATURATED, MetricName
from gtrans_core.evaluation.other_thresholds import ThresholdRow
from gtrans_core.system.text import every, score_text

Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1)]
NOTHING_KNOWN = "no defective image was tested, so nothing is known about misses"
_SCRIPT = "threshold.js"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Step(NamedTuple):
    """One thing to do next: what was measured, what to do, the whole command if there is one."""

    why: str
    what: str
    command: str


class DefectRow(_Part):
    """How one kind of defect fared in the test split.

    Attributes:
        defect: the kind's name.
        images: test images of it.
        caught: how many of them are flagged at the threshold.
        image_auroc: against the good test images; None where there are none.
        au_pro: AU-PRO@0.3 on images of this kind and good ones; None without masks.
        au_spro: AU-sPRO@0.3 and @0.05 of them; None where no mask says how much is enough.
    """

    defect: str
    images: Annotated[int, Field(ge=1)]
    caught: Count
    image_auroc: Rate | None = None
    au_pro: Rate | None = None
    au_spro: tuple[Rate, Rate] | None = None

    @property
    def missed(self) -> int:
        """Defective images that pass as good."""
        return self.images - self.caught

    @model_validator(mode="after")
    def _caught_fits(self) -> DefectRow:
        if self.caught > self.images:
            raise ValueError(f"{self.defect}: {self.caught} caught of {self.images} images")
        return self


class Training(_Part):
    """How the detector was trained; seconds are wall time, None where training was reused."""

    steps: Count
    images: Count
    seconds: Annotated[float, Field(ge=0)] | None = None


class ReportData(_Part):
    """Everything the report says.

    Attributes:
        category: what was inspected.
        created: UTC time, ISO 8601.
        metrics: each in [0, 1]; None where it is not available (never 0 for that). Only AU-sPRO
            may be left out.
        per_defect: one row a kind of defect.
        good_images: good test images.
        good_flagged: how many of them are flagged: false alarms.
        threshold: an image whose raw score is above it is flagged.
        false_alarm_rate: the promised share of good images flagged, at most (alpha).
        held_out: good images that the threshold was computed from.
        promise: how, where that is not by held-out images at the wanted rate.
        training: how long, and on what.
        conclusion: the verdict.
        steps: what to do next.
        mistakes: misses, then false alarms, the worst first; not all where there are very many.
        examples: the hardest and the easiest images by kind.
        chart: the histogram that the threshold moves over; None where nothing was tested.
        thresholds: what others than the one in use would do.
        feedback: a sentence on the test images that people marked; empty: there are none.
        curves: figures, as trusted SVG.
        light: what it bears of other light and position; None where that was not tried.
        lineage: where all this comes from, digests and versions by name.
        config: the flat configuration.
        commands: shell commands by what they do.
        notes: sentences on how the numbers came about.
    """

    category: str
    created: str
    metrics: dict[MetricName, Rate | None]
    per_defect: tuple[DefectRow, ...]
    good_images: Count
    good_flagged: Count
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    false_alarm_rate: Annotated[float, Field(gt=0, lt=1)]
    held_out: Annotated[int, Field(ge=1)]
    promise: Promise | None = None
    training: Training
    conclusion: Conclusion
    steps: tuple[Step, ...] = ()
    mistakes: tuple[Exhibit, ...] = ()
    examples: dict[str, tuple[Exhibit, ...]] = {}
    chart: ThresholdChart | None = None
    thresholds: tuple[ThresholdRow, ...] = ()
    feedback: str = ""
    curves: tuple[Curve, ...] = ()
    light: LightSection | None = None
    lineage: dict[str, str] = {}
    config: dict[str, Any] = {}
    commands: dict[str, str] = {}
    notes: tuple[str, ...] = ()

    @field_validator("metrics")
    @classmethod
    def _all_metrics(
        cls, metrics: dict[MetricName, float | None]
    ) -> dict[MetricName, float | None]:
        missing = set(get_args(MetricName)) - {*SATURATED} - metrics.keys()
        if missing:
            raise ValueError(f"missing: {', '.join(sorted(missing))} (None says not available)")
        return metrics

    @model_validator(mode="after")
    def _flagged_fits(self) -> ReportData:
        if self.good_flagged > self.good_images:
            raise ValueError(f"{self.good_flagged} of {self.good_images} good images flagged")
        return self

    @property
    def promise_verb(self) -> str:
        """What the threshold does with its false-alarm rate: ``promised`` or ``expected``."""
        cross_fitted = self.promise is not None and self.promise.how == "cross_fitted"
        return "expected" if cross_fitted else "promised"

    @property
    def defective_images(self) -> int:
        """Defective test images."""
        return sum(row.images for row in self.per_defect)

    @property
    def caught(self) -> int:
        """Defective test images that are flagged."""
        return sum(row.caught for row in self.per_defect)

    @property
    def missed(self) -> int:
        """Defective test images that pass as good."""
        return self.defective_images - self.caught


def render_report(data: ReportData) -> str:
    """The report as HTML: all inline, nothing fetched from elsewhere.

    One script, known to the page's policy by its digest, moves the threshold; nothing else runs.
    """
    environment = page_environment()
    environment.filters |= {
        "percent": _percent,
        "duration": _duration,
        "data_uri": _data_uri,
        "score": score_text,
    }
    script = environment.get_template(_SCRIPT).render() if data.chart else ""
    return environment.get_template("report.html").render(
        data=data,
        headline=headline(data),
        mistakes_said=_mistakes_said(data),
        marker=MARKER,
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
    )


def _mistakes_said(data: ReportData) -> str:
    shown, wrong = len(data.mistakes), data.missed + data.good_flagged
    if wrong == 1:
        return "There is one. Open it to see it large."
    how_many = f"The worst {shown} of {wrong}" if shown < wrong else every(wrong)
    rest = " The rest is in images.csv beside this report." if shown < wrong else ""
    missed = ["misses"] if data.missed else []
    kinds = " first, then ".join([*missed, *(["false alarms"] if data.good_flagged else [])])
    order = f"{kinds}, the worst first"
    return f"{how_many}: {order}. Open one to see it large.{rest}"


def headline(data: ReportData) -> str:
    """The outcome in one plain sentence."""
    parts = [] if data.defective_images else [NOTHING_KNOWN]
    if data.defective_images:
        parts.append(
            _flagged(data.caught, data.defective_images, "defective test image") + " flagged"
        )
    if data.good_images:
        after = bool(data.defective_images)
        noun, flagged = ("good one", "") if after else ("good test image", " flagged")
        promise = f"false alarms {data.promise_verb}: at most {_percent(data.false_alarm_rate)}"
        outcome = _flagged(data.good_flagged, data.good_images, noun)
        parts.append(f"{outcome}{flagged} ({promise})")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _flagged(count: int, total: int, noun: str) -> str:
    """``of 5 NOUNs 2 are``, before the word flagged."""
    if total == 1:
        return f"the only {noun} is" if count else f"the only {noun} is not"
    are = {0: "none is", 1: "1 is"}.get(count, f"{count} are")
    return f"of {total} {noun}s {are}"


def _percent(share: float) -> str:
    """``0.05`` as ``5 %``, with the space that does not break."""
    return f"{100 * share:.3g}\u00a0%"


def _duration(seconds: float) -> str:
    """Seconds as a person says them, such as ``3 min 20 s``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}\u00a0h {minutes}\u00a0min"
    return f"{minutes}\u00a0min {rest}\u00a0s" if minutes else f"{rest}\u00a0s"


def _data_uri(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode('ascii')}"

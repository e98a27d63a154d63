"""The evaluation report: one self-contained HTML file that a plant engineer understands."""

from __future__ import annotations

import base64
from typing import Annotated, Any, NamedTuple, get_args

import jinja2
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from gtrans_core.detector.promise import Promise
from gtrans_core.evaluation.metric_names import MetricName

Count = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(ge=0, le=1)]
NOTHING_KNOWN = "no defective image was tested, so nothing is known about misses"
HEAT_MAPS, SCORE_HISTOGRAM = "heat_maps", "score_histogram"
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(NamedTuple):
    """A figure with the sentence that says what to see in it."""

    caption: str
    png: bytes


class DefectRow(_Part):
    """How one kind of defect fared in the test split.

    Attributes:
        defect: the kind's name.
        images: test images of it.
        caught: how many of them are flagged at the threshold.
        image_auroc: against the good test images; None where there are none.
        au_pro: AU-PRO@0.3 on images of this kind and good ones; None without masks.
    """

    defect: str
    images: Annotated[int, Field(ge=1)]
    caught: Count
    image_auroc: Rate | None = None
    au_pro: Rate | None = None

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
        metrics: all eight, each in [0, 1]; None where it is not available (never 0 for that).
        per_defect: one row a kind of defect.
        good_images: good test images.
        good_flagged: how many of them are flagged: false alarms.
        threshold: an image whose raw score is above it is flagged.
        false_alarm_rate: the promised share of good images flagged, at most (alpha).
        held_out: good images that the threshold was computed from.
        promise: how, where that is not by held-out images at the wanted rate.
        training: how long, and on what.
        figures: pictures by name. Names that begin with ``heat_maps`` (one grid, or one a defect)
            and ``score_histogram`` have places of their own, the others follow as curves.
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
    figures: dict[str, Picture] = {}
    lineage: dict[str, str] = {}
    config: dict[str, Any] = {}
    commands: dict[str, str] = {}
    notes: tuple[str, ...] = ()

    @field_validator("metrics")
    @classmethod
    def _all_metrics(
        cls, metrics: dict[MetricName, float | None]
    ) -> dict[MetricName, float | None]:
        missing = set(get_args(MetricName)) - metrics.keys()
        if missing:
            raise ValueError(f"missing: {', '.join(sorted(missing))} (None says not available)")
        return metrics

    @field_validator("figures")
    @classmethod
    def _are_png(cls, figures: dict[str, Picture]) -> dict[str, Picture]:
        for name, picture in figures.items():
            if not picture.png.startswith(_PNG_SIGNATURE):
                raise ValueError(f"{name} is not a PNG file")
        return figures

    @model_validator(mode="after")
    def _flagged_fits(self) -> ReportData:
        if self.good_flagged > self.good_images:
            raise ValueError(f"{self.good_flagged} of {self.good_images} good images flagged")
        return self

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
    """The report as HTML: styles and images inline, no script, nothing fetched from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gtrans_core.drawing"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "duration": _duration, "data_uri": _data_uri}
    return environment.get_template("report.html").render(
        data=data,
        headline=headline(data),
        heat_maps=[v for k, v in data.figures.items() if k.startswith(HEAT_MAPS)],
        histogram=data.figures.get(SCORE_HISTOGRAM),
        curves=[
            v
            for k, v in data.figures.items()
            if k != SCORE_HISTOGRAM and not k.startswith(HEAT_MAPS)
        ],
    )


def headline(data: ReportData) -> str:
    """The outcome in one plain sentence."""
    parts = [] if data.defective_images else [NOTHING_KNOWN]
    if data.defective_images:
        images = _counted(data.defective_images, "defective test image")
        parts.append(f"of {images} {_are(data.caught)} flagged")
    if data.good_images:
        after = bool(data.defective_images)
        noun, flagged = ("good one", "") if after else ("good test image", " flagged")
        images = _counted(data.good_images, noun)
        cross_fitted = data.promise is not None and data.promise.how == "cross_fitted"
        verb = "expected" if cross_fitted else "promised"
        promise = f"false alarms {verb}: at most {_percent(data.false_alarm_rate)}"
        parts.append(f"of {images} {_are(data.good_flagged)}{flagged} ({promise})")
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _are(count: int) -> str:
    return f"{count} is" if count == 1 else f"{count} are"


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


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

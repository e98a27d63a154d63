"""The gate: what a version must show before it may be champion. Evidence in, verdict out.

Pure: no file, no server. The thresholds are data (``pipelines/categories/*.toml``). Whatever is
missing, not a number or not comparable counts against the version.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, ValidationError

from gtrans_core.config import Section, canonical_json
from gtrans_core.errors import ConfigError
from gtrans_core.evaluation.metric_names import METRIC_LABELS, MetricName
from gtrans_core.storage.documents import OddDocumentError, describe_validation, parse_json

DefectMetric = Literal["caught", "image_auroc", "au_pro_30"]

_KINDS = "|".join(get_args(DefectMetric))
_DEFECT_METRIC = re.compile(rf"defect/(?P<defect>.+)/({_KINDS})")
UNTESTED = (
    "no defective image was tested, so nothing is known about misses: add some below test/DEFECT "
    "and run again"
)
"""Why a version that saw good parts only stays a challenger."""
FALSE_ALARMS = "false_alarms_observed"
_ROUNDING = 1e-9  # so that 0.97 - 0.02 is at least 0.95


def _is_metric(name: str) -> bool:
    return name in get_args(MetricName) or _DEFECT_METRIC.fullmatch(name) is not None


def _known_metric(name: str) -> str:
    if _is_metric(name):
        return name
    known = ", ".join(get_args(MetricName))
    raise ValueError(f"'{name}' is not a metric: use one of {known}, or defect/KIND/{_KINDS}")


Metric = Annotated[str, AfterValidator(_known_metric)]
Share = Annotated[float, Field(ge=0, le=1)]


class Gate(Section):
    """Thresholds, all of test metrics where more is better; no knob has a default in code."""

    floors: dict[Metric, Share]
    """Least value of each named metric: ``image_auroc``, ``defect/scratch/caught``, ..."""
    minimum_gain: dict[Metric, Annotated[float, Field(ge=-1, le=1)]]
    """By how much each named metric must exceed the champion's; 0: it must not fall."""
    maximum_loss_per_defect: dict[DefectMetric, Share]
    """How much each named metric may fall, against the champion's, for any kind of defect."""
    minimum_test_images: Annotated[int, Field(ge=1)]
    """Least number of test images, good and defective together."""
    same_data_as_champion: bool
    """Whether both must have been judged on the same data, by digest."""
    as_many_test_images_as_champion: bool
    """Whether fewer test images than the champion's are refused."""

    def to_json(self) -> str:
        """Canonical JSON: how the thresholds go from step to step and onto the version."""
        return canonical_json(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, text: str) -> Gate:
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: naming the key, what it has and what was expected.
        """
        try:
            values = parse_json(text)
        except OddDocumentError as error:
            raise ConfigError(f"gate is not JSON: {error}") from None
        return cls.read(values, "gate")

    @classmethod
    def read(cls, values: Any, origin: str) -> Gate:
        """Thresholds from plain values; ``origin`` names them in an error.

        Raises:
            ConfigError: naming the key, what it has and what was expected.
        """
        unknown = sorted(values.keys() - cls.model_fields) if isinstance(values, dict) else []
        if unknown:
            known = ", ".join(cls.model_fields)
            raise ConfigError(f"{origin}: unknown key '{unknown[0]}'; a gate has {known}")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError(f"{origin}: {describe_validation(error)}") from None


@dataclass(frozen=True)
class Evidence:
    """What is known of one version. Empty, None and absent mean: not known.

    Attributes:
        data_digest: identity of both splits.
        test_images: good and defective ones together.
        metrics: by the names MLflow shows (``EvaluationRecord.numbers``).
    """

    data_digest: str
    test_images: int | None
    metrics: Mapping[str, float]

    @property
    def defects(self) -> list[str]:
        """The kinds of defect that there are metrics of."""
        found = (_DEFECT_METRIC.fullmatch(name) for name in self.metrics)
        return sorted({match["defect"] for match in found if match})

    @property
    def tested_on_defects(self) -> bool:
        """Whether any metric says how it does on defects."""
        known: tuple[str, ...] = get_args(MetricName)
        return bool(self.defects) or any(name in known for name in self.metrics)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``text`` says what there is and what was expected.

    ``plain`` says the same to somebody who does not know the metrics' names; empty: no shorter.
    """

    passed: bool
    text: str
    plain: str = field(default="", compare=False)


@dataclass(frozen=True)
class Verdict:
    """All checks, in order. It passes when every one does."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the version passes every check."""
        return all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The text of every check that it fails."""
        return tuple(check.text for check in self.checks if not check.passed)

    @property
    def plain_reasons(self) -> tuple[str, ...]:
        """The same in plain words, such as ``image AUROC 0.869, the floor is 0.90``."""
        return tuple(check.plain or check.text for check in self.checks if not check.passed)


def check_gate(gate: Gate, candidate: Evidence, champion: Evidence | None) -> Verdict:
    """Hold a version to the thresholds, and against the champion's evidence where there is one."""
    if candidate.metrics and not candidate.tested_on_defects:
        return Verdict((_all_finite(candidate), Check(False, UNTESTED)))
    checks = [*_own_checks(gate, candidate)]
    if champion is not None:
        checks += _champion_checks(gate, candidate, champion)
    return Verdict(tuple(checks))


def _own_checks(gate: Gate, candidate: Evidence) -> Iterator[Check]:
    yield _all_finite(candidate)
    count, least = candidate.test_images, gate.minimum_test_images
    yield Check(
        count is not None and count >= least,
        f"test images {_known(count)}: expected at least {least}",
        f"{_known(count)} test {'image' if count == 1 else 'images'}, at least {least} are needed",
    )
    for name, floor in gate.floors.items():
        yield _at_least(candidate, name, floor, "the floor")


def _champion_checks(gate: Gate, candidate: Evidence, champion: Evidence) -> Iterator[Check]:
    if gate.same_data_as_champion:
        ours, theirs = candidate.data_digest, champion.data_digest
        yield Check(
            bool(ours) and ours == theirs,
            f"data {_known(ours[:12])}: expected the champion's {_known(theirs[:12])}",
        )
    if gate.as_many_test_images_as_champion:
        yield _as_many_images(candidate.test_images, champion.test_images)
    for name, gain in gate.minimum_gain.items():
        yield _against(candidate, champion, name, gain)
    for defect in champion.defects:
        for metric, loss in gate.maximum_loss_per_defect.items():
            name = f"defect/{defect}/{metric}"
            if name in champion.metrics:  # without masks there is no au_pro_30 to lose
                yield _against(candidate, champion, name, -loss)


def _all_finite(candidate: Evidence) -> Check:
    odd = [
        f"{name} is {value}" + (", expected 0 to 1" if math.isfinite(value) else "")
        for name, value in sorted(candidate.metrics.items())
        if not _possible(name, value)
    ]
    if not candidate.metrics:
        return Check(False, "metrics: none is recorded")
    return Check(not odd, "metrics: " + (", ".join(odd) or "all are numbers"))


def _as_many_images(count: int | None, least: int | None) -> Check:
    return Check(
        count is not None and least is not None and count >= least,
        f"test images {_known(count)}: expected at least the champion's {_known(least)}",
    )


def _against(candidate: Evidence, champion: Evidence, name: str, gain: float) -> Check:
    theirs = champion.metrics.get(name)
    if theirs is None or not _possible(name, theirs):
        reason = f"the champion's is {_known(theirs)}, so nothing to compare with"
        return Check(False, f"{name} {_number(candidate.metrics.get(name))}: {reason}")
    why = f"the champion's {theirs:.4f} {gain:+g}" if gain else "the champion's"
    return _at_least(candidate, name, theirs + gain, why)


def _at_least(candidate: Evidence, name: str, bound: float, why: str) -> Check:
    value = candidate.metrics.get(name)
    passed = value is not None and _possible(name, value) and value >= bound - _ROUNDING
    text = f"{name} {_number(value)}: expected at least {bound:.4f} ({why})"
    return Check(passed, text, f"{_label(name)} {_short(value, bound)}, {why} is {bound:.2f}")


def _label(name: str) -> str:
    """A metric as people call it, such as ``image AUROC``."""
    labels = {str(metric): label for metric, label in METRIC_LABELS.items()}
    return labels.get(name, name.removeprefix("defect/").replace("/", ": "))


def _short(value: float | None, bound: float) -> str:
    """Three digits, or as many as it takes to see that the value is below the bound."""
    if value is None:
        return "is not known"
    digits = next((d for d in (3, 4, 6) if round(value, d) < bound), 6)
    return f"{value:.{digits}f}"


def _possible(name: str, value: float) -> bool:
    """Whether a metric can have this value: those that a gate may name, and rates, are shares."""
    is_share = _is_metric(name) or name == FALSE_ALARMS
    return math.isfinite(value) and (not is_share or -_ROUNDING <= value <= 1 + _ROUNDING)


def _number(value: float | None) -> str:
    return _known(None if value is None else f"{value:.4f}")


def _known(value: Any) -> str:
    return "not known" if value is None or value == "" else str(value)

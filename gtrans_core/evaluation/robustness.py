"""What a detector bears: counts of false alarms and misses under each change of light or position.

In a file without torch, scipy or Pillow: records are read without them.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gtrans_core.storage.documents import Facts

Count = Annotated[int, Field(ge=0)]
MOST_MORE_MISSED = 0.1
"""Share of the defective images that may be missed in addition."""
_NOT_ONE_IMAGE = 2
"""A single image more may be chance."""


class Outcome(Facts):
    """False alarms and misses of the same images, under one change."""

    name: str
    group: Literal["light", "sharpness", "position"]
    flagged: Count
    """Good images above the threshold."""
    missed: Count
    """Defective images that are not."""


class Robustness(Facts):
    """A sample of images scored as they are (``flagged``, ``missed``) and under each change."""

    good: Count
    defective: Count
    flagged: Count
    missed: Count
    promised: float
    """Share of good images that the threshold may flag."""
    outcomes: tuple[Outcome, ...]

    def has_more_alarms(self, outcome: Outcome) -> bool:
        """Whether false alarms more than double, from those before or, if more, the promised."""
        usual = max(self.flagged, self.promised * self.good)
        return outcome.flagged > 2 * usual and outcome.flagged >= self.flagged + _NOT_ONE_IMAGE

    def has_more_misses(self, outcome: Outcome) -> bool:
        """Whether more than a tenth of the defective images is missed in addition."""
        more = outcome.missed - self.missed
        return more > MOST_MORE_MISSED * self.defective and more >= _NOT_ONE_IMAGE

    def bears(self, outcome: Outcome) -> bool:
        """Whether neither happens."""
        return not self.has_more_alarms(outcome) and not self.has_more_misses(outcome)

    @property
    def not_borne(self) -> tuple[Outcome, ...]:
        """The changes that it cannot bear."""
        return tuple(outcome for outcome in self.outcomes if not self.bears(outcome))

    def numbers(self) -> dict[str, float]:
        """What MLflow shows of it."""
        row: dict[str, float] = {"changes_not_borne": len(self.not_borne)}
        if self.good:
            worst = max(outcome.flagged for outcome in self.outcomes)
            row["worst_change_false_alarm_rate"] = worst / self.good
        if self.defective:
            worst = max(outcome.missed for outcome in self.outcomes)
            row["worst_change_miss_rate"] = worst / self.defective
        return row

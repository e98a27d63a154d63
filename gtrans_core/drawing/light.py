"""The report's section on light and position, in words: what is borne, and what to do."""

from __future__ import annotations

from typing import NamedTuple

from gtrans_core.evaluation.robustness import Outcome, Robustness

_ADVICE = {
    "light": (
        "Keep the light as it was: keep daylight out, and fix exposure and white balance in the "
        "camera. If the light has to change, add good images taken in each light to train/good, "
        "and run again."
    ),
    "sharpness": (
        "Fix focus, gain and exposure time, and save images without loss (PNG), both for training "
        "and in use."
    ),
    "position": (
        "Hold the part in a fixture, or crop to it. If it has to move, add good images of each "
        "position to train/good, and run again."
    ),
}


class LightRow(NamedTuple):
    """One change: how many images of each kind go wrong under it, and what is wrong with that."""

    name: str
    flagged: int
    missed: int
    more_alarms: bool
    more_misses: bool


class LightSection(NamedTuple):
    """What the section says.

    Attributes:
        summary: the outcome in a sentence or two.
        before: the same images as they are.
        good: good images that were tried.
        defective: defective images that were tried.
        rows: one a change.
        advice: what to do, a sentence or two for each kind of change that is not borne.
    """

    summary: str
    before: LightRow
    good: int
    defective: int
    rows: tuple[LightRow, ...]
    advice: tuple[str, ...]


def light_section(found: Robustness) -> LightSection:
    """The section of what was found."""
    groups = dict.fromkeys(outcome.group for outcome in found.not_borne)
    return LightSection(
        summary=_summary(found),
        before=LightRow("as they are", found.flagged, found.missed, False, False),
        good=found.good,
        defective=found.defective,
        rows=tuple(_row(found, outcome) for outcome in found.outcomes),
        advice=tuple(_ADVICE[group] for group in groups),
    )


def _row(found: Robustness, outcome: Outcome) -> LightRow:
    return LightRow(
        outcome.name,
        outcome.flagged,
        outcome.missed,
        found.has_more_alarms(outcome),
        found.has_more_misses(outcome),
    )


def _summary(found: Robustness) -> str:
    if max(found.good, found.defective) < 2:
        return "A single image of a kind was tried: too few to say what the detector bears."
    names = [outcome.name for outcome in found.not_borne]
    if not names:
        return f"It can bear all {len(found.outcomes)} changes that were tried."
    return f"It cannot bear {len(names)} of {len(found.outcomes)} changes: {', '.join(names)}."

"""The report's section on light and position, as it is read."""

from __future__ import annotations

import re

import pytest

from gtrans_core.drawing.light import light_section
from gtrans_core.drawing.report import render_report
from gtrans_core.evaluation.robustness import Outcome, Robustness
from tests.unit.drawing.test_report import report_data


def found(good: int = 16, defective: int = 16, *outcomes: tuple[str, str, int, int]) -> Robustness:
    rows = outcomes or (("25 % darker", "light", 9, 1), ("blurred", "sharpness", 0, 1))
    return Robustness(
        good=good,
        defective=defective,
        flagged=min(1, good),
        missed=min(1, defective),
        promised=0.05,
        outcomes=tuple(
            Outcome(name=name, group=group, flagged=flagged, missed=missed)
            for name, group, flagged, missed in rows
        ),
    )


def section(robustness: Robustness) -> str:
    """Its words, without markup."""
    html = render_report(report_data(light=light_section(robustness)))
    part = html.split("<h2>Light and position</h2>")[1].split("</section>")[0]
    return " ".join(re.sub(r"<[^>]+>", " ", part).split())


def test_it_says_what_is_not_borne_by_how_much_and_what_to_do() -> None:
    words = section(found())
    assert words.startswith("It cannot bear 1 of 2 changes: 25 % darker.")
    assert "scored 16 good images and 16 defective ones again" in words
    assert "as they are 1 1 25 % darker 9 (+8) 1 no blurred 0 (-1) 1 yes" in words
    assert "Keep the light as it was" in words
    assert "Fix focus" not in words


def test_it_says_so_where_all_is_borne() -> None:
    words = section(found(16, 16, ("blurred", "sharpness", 1, 1)))
    assert words.startswith("It can bear all 1 changes that were tried.")


def test_without_defects_nothing_is_said_of_misses() -> None:
    words = section(found(16, 0, ("blurred", "sharpness", 1, 0)))
    assert "nothing is known about misses" in words
    assert "Missed of" not in words


def test_without_good_images_nothing_is_said_of_false_alarms() -> None:
    words = section(found(0, 16, ("blurred", "sharpness", 0, 9)))
    assert "nothing is known about false alarms" in words
    assert "False alarms of" not in words
    assert words.startswith("It cannot bear 1 of 1 changes: blurred.")


def test_of_one_image_nothing_is_concluded() -> None:
    words = section(found(1, 1, ("blurred", "sharpness", 1, 1)))
    assert words.startswith("A single image of a kind was tried: too few")
    assert "scored 1 good image and 1 defective one again" in words


@pytest.mark.parametrize("light", [None])
def test_without_a_trial_there_is_no_section(light: None) -> None:
    assert "Light and position" not in render_report(report_data(light=light))

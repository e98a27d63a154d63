"""The report as a person uses it: by keyboard, on a phone, and in the frames that show it."""

from __future__ import annotations

import html
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.drawing.report import render_report
from tests.support.reports import DENT, GOOD, HELD_OUT, THRESHOLD, report_data

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_report(report_data()), encoding="utf-8")
    return path


@pytest.fixture
def page(open_page, report):
    page = open_page(report.as_uri())
    yield page
    assert page.complaints == []


NOW = "document.querySelector('#threshold-now').textContent"
COUNTS = """['caught', 'missed', 'false-alarms', 'passed'].map(
  id => document.getElementById(id).textContent)"""
LARGE = """[...document.querySelectorAll('.exhibit[open] .large svg')].map(
  svg => svg.getBoundingClientRect().width)"""
COLUMNS = """getComputedStyle(
  document.querySelectorAll('.exhibits')[1]).gridTemplateColumns.split(' ').length"""
IS_SHOWN = "getComputedStyle(document.querySelector('%s')).display !== 'none'"


def counted(page) -> list[int]:
    return [int(text.split()[0]) for text in page.evaluate(COUNTS)]


class TestThreshold:
    def test_starts_at_the_one_in_use(self, page):
        assert page.evaluate(NOW) == "1"
        assert counted(page) == [10, 2, 1, 19]
        assert page.evaluate(IS_SHOWN % ".slider")
        assert not page.evaluate(IS_SHOWN % "#other-thresholds")

    def test_counts_as_the_detector_would_wherever_it_is_moved(self, page):
        for share in (0.0, 0.1, 0.3, 0.52, 0.8, 1.0):
            page.slide("#threshold", share)
            chart = report_data().chart
            now = chart.low + round(1000 * share) / 1000 * (chart.high - chart.low)
            assert not chart.is_log
            caught, alarms = (sum(s > now for s in scores) for scores in (DENT, GOOD))
            assert counted(page) == [caught, len(DENT) - caught, alarms, len(GOOD) - alarms]
            flagged = page.evaluate(
                "[...document.querySelectorAll('.flagged')].map(e => +e.textContent)"
            )
            assert flagged == [sum(s > now for s in scores) for scores in (HELD_OUT, GOOD, DENT)]

    def test_moves_by_keyboard_and_goes_back(self, page):
        page.evaluate("document.querySelector('#threshold').focus()")
        for _ in range(3):
            page.press("PageDown", 34)
        assert float(page.evaluate(NOW)) < THRESHOLD
        assert "breaks the promise" in page.text("#threshold-is")
        label = "document.querySelector('#threshold').getAttribute('aria-valuetext')"
        assert page.evaluate(label).startswith("threshold 0.")
        page.evaluate("document.querySelector('#threshold-back').focus()")
        page.press("Enter", 13, text="\r")
        assert page.evaluate(NOW) == "1"
        assert counted(page) == [10, 2, 1, 19]
        assert page.evaluate("document.activeElement.id") == "threshold"

    def test_without_scripts_there_is_a_table(self, open_page, report):
        page = open_page("about:blank")
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.call("Page.navigate", url=report.as_uri())
        page.wait_for("document.readyState === 'complete' && document.title.startsWith('part')")
        assert page.evaluate(IS_SHOWN % "#other-thresholds")
        assert not page.evaluate(IS_SHOWN % ".slider")
        assert "in use: promises 5" in page.text("#other-thresholds")


class TestMistakes:
    def test_open_by_keyboard_and_are_drawn(self, page):
        assert page.evaluate("document.querySelectorAll('.exhibit').length") == 3 + 4 + 4
        page.evaluate("document.querySelector('.exhibit summary').focus()")
        width = "document.querySelector('.exhibit').getBoundingClientRect().width"
        before = page.evaluate(width)
        page.press("Enter", 13, text="\r")
        page.wait_for("document.querySelector('.exhibit').open")
        assert page.evaluate(width) > 2 * before
        assert all(width > 150 for width in page.evaluate(LARGE))
        assert page.text(".exhibit[open] .said").startswith("dent: missed")
        assert page.text(".exhibit[open] .name") == "test/dent/020.png"
        page.press("Enter", 13, text="\r")
        assert not page.evaluate("document.querySelector('.exhibit').open")


def test_every_control_is_reached_by_the_tab_key_and_shows_it(page):
    """All that opens, moves, presses or scrolls, from the top down; and none holds the focus."""
    page.evaluate("""window.controls = [...document.querySelectorAll(
      'a[href], summary, pre, input, button:not(:disabled)')]""")
    count = page.evaluate("controls.length")
    reached = []
    for _ in range(2 * count):
        page.press("Tab", 9)
        at = page.evaluate("controls.indexOf(document.activeElement)")
        if at >= 0 and at not in reached:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
            reached.append(at)
        if at == count - 1:
            break
    assert reached == list(range(count))
    page.press("Enter", 13, text="\r")  # the last one: the configuration
    assert page.evaluate("document.activeElement.parentElement.open")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_it_fits_the_window_and_is_legible(page, width, theme, tmp_path):
    page.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}]
    )
    page.resize(width, 1000)
    page.evaluate("document.querySelectorAll('.exhibit')[1].open = true")
    assert page.evaluate(
        "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    # Words of figures are of the page's own ink, so they show on its ground.
    inks = page.evaluate(
        "[...document.querySelectorAll('.curves text')].map(e => getComputedStyle(e).fill)"
    )
    rgb = {tuple(json.loads(f"[{ink[4:-1]}]")) for ink in inks}
    ground = page.evaluate(
        "getComputedStyle(document.querySelector('.curves figure')).backgroundColor"
    )
    dark = sum(json.loads(f"[{ground[4:-1]}]")) < 300
    assert dark == (theme == "dark")
    assert all((sum(ink) > 400) == dark for ink in rgb)
    # No cell of a row of examples or of metrics is empty.
    assert 4 % page.evaluate(COLUMNS) == 0
    tiles = page.evaluate("document.querySelectorAll('.tile').length")
    columns = "getComputedStyle(document.querySelector('.tiles')).gridTemplateColumns.split(' ')"
    assert tiles % page.evaluate(f"{columns}.length") == 0
    keep(page, f"report-{width}-{theme}.png", tmp_path)


class TestFrames:
    """As Kubeflow shows it: in a frame that may run scripts and is of no origin."""

    def test_the_threshold_moves_in_kubeflows(self, open_page, report, tmp_path):
        frame = self._framed(open_page, report, tmp_path, "allow-scripts")
        frame.wait_for(IS_SHOWN % ".slider")
        frame.slide("#threshold", 0)
        assert counted(frame)[1] == 0
        assert frame.complaints == []

    def test_one_that_allows_nothing_shows_the_table(self, open_page, report, tmp_path):
        frame = self._framed(open_page, report, tmp_path, "")
        frame.wait_for(IS_SHOWN % "#other-thresholds")
        assert not frame.evaluate(IS_SHOWN % ".slider")

    def _framed(self, open_page, report, tmp_path, sandbox):
        document = html.escape(report.read_text(encoding="utf-8"))
        outer = tmp_path / "outer.html"
        frame = (
            f'<iframe sandbox="{sandbox}" width="900" height="600" srcdoc="{document}"></iframe>'
        )
        outer.write_text(f"<!DOCTYPE html><title>frame</title>{frame}", encoding="utf-8")
        return open_page(outer.as_uri()).frame()


def keep(page, name: str, folder: Path) -> None:
    """Take a picture: for the docs where ``GTRANS_TEST_PICTURES`` names a folder."""
    picture = page.screenshot(Path(os.environ.get("GTRANS_TEST_PICTURES", folder)) / name)
    assert len(np.unique(np.asarray(Image.open(picture).convert("L")))) > 20  # not an empty page

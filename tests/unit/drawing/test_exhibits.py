"""What the report shows of single images and which ones; its chart; figures as SVG."""

import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import ImageConfig
from gtrans_core.drawing.canvas import to_svg
from gtrans_core.drawing.exhibits import make_exhibits
from gtrans_core.drawing.figures import loss_curve, roc_figure
from gtrans_core.drawing.gallery import MOST_MISTAKES, draw_gallery
from gtrans_core.drawing.layers import contour_path, legend
from gtrans_core.drawing.shown import Exhibit, Gallery
from gtrans_core.drawing.threshold_chart import FOR_THRESHOLD, threshold_chart
from gtrans_core.evaluation.evaluation import Evaluation, split_metrics
from gtrans_core.evaluation.image_table import image_results
from tests.support.evaluations import evaluation, masks_of


def shown(scored: Evaluation, level: float = 0.25) -> tuple[Exhibit, ...]:
    rows = image_results(scored, 0.5, level, ImageConfig(size=32))
    return make_exhibits(scored, rows, range(len(rows)), level)


def numbers(path: str) -> np.ndarray:
    return np.array(re.findall(r"-?[\d.]+", path), float).reshape(-1, 2)


class TestExhibit:
    def test_pictures_are_webp_of_the_view_and_of_the_heat(self):
        scored = evaluation(["dent"], [0.5], masks_of(0, count=1))
        scored.views[0, 0] = 200
        [one] = shown(scored)
        image = Image.open(io.BytesIO(one.image))
        assert (image.format, image.size) == ("WEBP", (8, 8))
        assert np.abs(np.asarray(image).mean((0, 1)) - (200, 0, 0)).max() < 12
        heat = np.asarray(Image.open(io.BytesIO(one.heat)).convert("RGBA"))
        assert heat[0, 0, 3] > 200  # hottest
        assert heat[7, 7, 3] < 10  # coldest

    def test_contour_and_outline_are_around_what_is_unusual_and_what_is_marked(self):
        scored = evaluation(["dent"], [0.0], masks_of(count=1))
        scored.maps[0, 2:5, 3:6] = 1.0
        scored.masks[0, 6, 1] = True  # type: ignore[index]
        [one] = shown(scored, level=0.5)
        np.testing.assert_allclose(numbers(one.contour).min(0), (3, 2))
        np.testing.assert_allclose(numbers(one.contour).max(0), (6, 5))
        np.testing.assert_allclose(numbers(one.outline).min(0), (1, 6))

    def test_there_is_none_around_nothing(self):
        [one] = shown(evaluation(["good"], [0.1], None))
        assert (one.contour, one.outline) == ("", "")

    def test_it_has_the_shape_of_the_part(self):
        scored = evaluation(["good"], [0.1], None)
        wide = scored.samples[0].model_copy(update={"width": 640, "height": 320})
        [one] = shown(replace(scored, samples=(wide,)))
        assert one.aspect == 2

    def test_a_view_need_not_be_square(self):
        scored = evaluation(["good"], [0.1], None)
        wide = replace(scored, views=scored.views[:, :, :4], maps=scored.maps[:, :4])
        [one] = shown(wide)
        assert one.shape == (4, 8)
        assert [Image.open(io.BytesIO(p)).size for p in (one.image, one.heat)] == [(8, 4)] * 2

    @pytest.mark.parametrize("level", [0.0, -1.0, float("nan")])
    def test_a_level_that_is_none_is_refused(self, level: float):
        with pytest.raises(ValueError, match="map level"):
            shown(evaluation(["good"], [0.1], None), level)


def test_a_contour_that_touches_the_border_is_closed_there():
    path = contour_path(np.ones((8, 8)), 0.5)
    assert path.endswith("Z")
    np.testing.assert_allclose(np.ptp(numbers(path), axis=0), (8, 8))


def test_the_legend_goes_from_the_colour_of_the_coldest_to_that_of_the_hottest():
    row = np.asarray(Image.open(io.BytesIO(legend())).convert("RGB")).astype(int)[0]
    for place, colour in ((0, (13, 8, 135)), (-1, (240, 249, 33))):
        assert np.abs(row[place] - colour).max() < 40


def gallery(kinds: list[str], scores: list[float]) -> Gallery:
    scored = evaluation(kinds, scores, None)
    rows = image_results(scored, 0.5, 0.25, ImageConfig(size=32))
    return draw_gallery(scored, rows, split_metrics(scored, 0.25), 0.5, 0.25, [0.1, 0.2], [], 2)


class TestGallery:
    def test_misses_come_first_and_the_worst_of_them_first(self):
        kinds, scores = ["good", "dent", "dent", "good", "dent"], [0.9, 0.4, 0.1, 0.6, 0.8]
        found = [one.result.score for one in gallery(kinds, scores).mistakes]
        assert found == [0.1, 0.4, 0.9, 0.6]

    def test_the_hardest_and_the_easiest_of_each_kind_are_shown(self):
        kinds = ["good"] * 6 + ["dent"] * 3
        scores = [0.1, 0.2, 0.3, 0.4, 0.45, 0.48, 0.6, 0.7, 0.8]
        examples = gallery(kinds, scores).examples
        assert list(examples) == ["dent", "good"]
        assert [one.result.score for one in examples["good"]] == [0.48, 0.45, 0.2, 0.1]
        assert [one.result.score for one in examples["dent"]] == [0.6, 0.7, 0.8]

    @pytest.mark.parametrize(
        ("missed", "alarms", "expected"), [(50, 50, (30, 30)), (70, 5, (55, 5)), (5, 70, (5, 55))]
    )
    def test_the_most_are_shown_fairly(
        self, monkeypatch: pytest.MonkeyPatch, missed: int, alarms: int, expected: tuple[int, int]
    ):
        from gtrans_core.drawing import gallery as module

        kinds = ["dent"] * missed + ["good"] * alarms
        rows = image_results(
            evaluation(kinds, [0.1] * missed + [0.9] * alarms, None),
            0.5,
            0.25,
            ImageConfig(size=32),
        )
        chosen = [rows[at].kind for at in module._mistakes(rows)]
        assert (chosen.count("dent"), chosen.count("good")) == expected
        assert len(chosen) == MOST_MISTAKES


class TestChart:
    def test_every_bar_is_on_the_side_its_images_are_judged(self):
        chart = threshold_chart({"good": [0.2, 0.5], "dent": [0.5, 0.51, 0.9]}, [0.1], 0.5)
        assert [(row.name, row.flagged) for row in chart.rows] == [
            (FOR_THRESHOLD, 0),
            ("good", 0),
            ("dent", 2),
        ]
        for row in chart.rows:
            right = [bar for bar in row.bars if bar.place > chart.place - 1e-9]
            assert bool(right) == bool(row.flagged)

    @pytest.mark.parametrize("scores", [[0.01, 5.0], [1.0, 2.0], [0.0, 3.0]])
    def test_all_lies_within_the_axis(self, scores: list[float]):
        chart = threshold_chart({"good": scores}, [1.0], 1.5)
        bars = [bar for row in chart.rows for bar in row.bars]
        assert min(bar.place for bar in bars) >= 0
        assert max(bar.place + bar.width for bar in bars) <= 1 + 1e-9
        assert all(0 <= place <= 1 for place, _ in chart.ticks)
        assert 0 < chart.place < 1
        assert 2 <= len(chart.ticks) <= 12

    @pytest.mark.parametrize("score", [0.0, 0.6, -0.6, 1e-12, 7e5])
    def test_scores_that_are_all_equal_or_nearly_have_an_axis(self, score: float):
        nearly = float(np.nextafter(score, np.inf))
        chart = threshold_chart({"good": [score], "dent": [nearly]}, [score], score)
        assert chart.low < score < chart.high
        assert 0 < chart.place < 1
        assert [row.flagged for row in chart.rows] == [0, 0, 1]
        assert len({text for _, text in chart.ticks}) == len(chart.ticks) > 1

    def test_ticks_are_plain_numbers(self):
        chart = threshold_chart({"good": [0.02, 9.0]}, [0.5], 1.0)
        assert chart.is_log
        assert all(re.fullmatch(r"[\d.]+", text) for _, text in chart.ticks)


class TestSvg:
    def test_follows_the_theme_and_names_no_outside_address(self):
        svg = to_svg(roc_figure([0, 1], [0, 1], 0.5, "Images"))
        assert svg.startswith("<svg")
        assert "var(--right)" in svg
        assert "AUROC 0.500" in svg  # words stay words
        assert not re.search(r"http|<style|<metadata|#0072b2", svg)

    def test_ids_of_two_in_one_page_do_not_clash(self):
        curves = [to_svg(roc_figure([0, x, 1], [0, 1, 1], 0.5, "Images")) for x in (0.2, 0.3)]
        first, second = (set(re.findall(r' id="([^"]+)"', svg)) for svg in curves)
        # What both have is the same in both: its id comes from what it holds.
        for name in first & second:
            assert len({re.search(rf'id="{name}".*?/>', svg, re.S)[0] for svg in curves}) == 1

    def test_a_logarithmic_axis_has_plain_numbers(self):
        history = [{"step": 1, "train_loss": 0.9}, {"step": 2, "train_loss": 0.02}]
        svg = to_svg(loss_curve(history))
        assert ">0.1<" in svg
        assert "10^" not in svg
        assert "mathdefault" not in svg

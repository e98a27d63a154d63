"""What the figures say, read back from their parts and their pixels."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.contour import ContourSet
from matplotlib.text import Text

from gtrans_core.drawing import figures
from gtrans_core.drawing.canvas import to_png
from gtrans_core.drawing.figures import Example

SIDE = 24
THRESHOLD = 2e-9
MAP_RANGE = (0.0, 4e-9)
GRADIENT = np.linspace(0, 255, SIDE * SIDE * 3).reshape(SIDE, SIDE, 3).astype(np.uint8)

POWERS = st.integers(-40, 10).map(lambda exponent: 2.0**exponent)  # often equal: ties count


def example(**changes):
    values = {
        "name": "scratch/003.png",
        "defect": "scratch",
        "image": GRADIENT,
        "heat_map": spot(5e-9),
        "mask": spot(1) > 0,
        "score": 5e-9,
        "is_anomalous": True,
    } | changes
    return Example(**values)


def spot(height):
    heat_map = np.zeros((SIDE, SIDE), np.float32)
    heat_map[4:9, 10:15] = height
    return heat_map


def texts(figure):
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def cells(figure):
    """The images of a sheet, as drawn, without the colour bar."""
    return [axes.get_images()[0].get_array() for axes in figure.axes if axes.get_images()]


def test_a_letter_that_the_font_has_not_is_no_warning(recwarn: pytest.WarningsRecorder):
    named = example(name="\u90e8\u54c1.png")
    assert to_png(figures.heat_map_figure(named, THRESHOLD, MAP_RANGE)).startswith(b"\x89PNG")
    assert not list(recwarn)


class TestOverlay:
    def test_is_grey_where_cold_and_coloured_where_hot_only(self):
        cold = figures.overlay(GRADIENT, spot(0), MAP_RANGE)
        hot = figures.overlay(GRADIENT, spot(4e-9), MAP_RANGE)
        assert hot.dtype == np.uint8
        assert hot.shape == GRADIENT.shape
        np.testing.assert_array_equal(cold.min(axis=2), cold.max(axis=2))
        np.testing.assert_array_equal((cold != hot).any(axis=2), spot(1) > 0)
        assert (np.ptp(hot[5, 11].astype(int))) > 100

    def test_keeps_the_image_visible_below_the_cold(self):
        brightness = figures.overlay(GRADIENT, spot(0), MAP_RANGE)[..., 0].astype(int)
        assert np.corrcoef(brightness.ravel(), GRADIENT.mean(axis=2).ravel())[0, 1] > 0.99

    def test_clips_what_lies_beyond_the_range(self):
        hottest = figures.overlay(GRADIENT, spot(4e-9), MAP_RANGE)
        np.testing.assert_array_equal(figures.overlay(GRADIENT, spot(1.0), MAP_RANGE), hottest)
        coldest = figures.overlay(GRADIENT, spot(0), MAP_RANGE)
        np.testing.assert_array_equal(figures.overlay(GRADIENT, spot(-1.0), MAP_RANGE), coldest)

    def test_draws_a_constant_map_in_one_colour(self):
        flat = np.full((SIDE, SIDE, 3), 100, np.uint8)
        blend = figures.overlay(flat, np.full((SIDE, SIDE), 3e-9, np.float32), MAP_RANGE)
        assert len(np.unique(blend.reshape(-1, 3), axis=0)) == 1

    @given(
        heat_map=arrays.arrays(np.float32, (SIDE, SIDE), elements=st.floats(0, 8, width=32)),
        exponent=st.integers(-100, 60),
    )
    @settings(max_examples=30, deadline=None)
    def test_does_not_depend_on_the_unit_of_scores(self, heat_map, exponent):
        unit = 2.0**exponent
        scaled = (heat_map * np.float64(unit)).astype(np.float64)
        np.testing.assert_array_equal(
            figures.overlay(GRADIENT, scaled, (0.0, 5 * unit)),
            figures.overlay(GRADIENT, heat_map, (0.0, 5.0)),
        )

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_refuses_values_that_are_not_finite(self, value):
        with pytest.raises(ValueError, match="not finite"):
            figures.overlay(GRADIENT, spot(value), MAP_RANGE)

    @pytest.mark.parametrize("map_range", [(1.0, 1.0), (2.0, 1.0), (0.0, np.nan)])
    def test_refuses_an_empty_range(self, map_range):
        with pytest.raises(ValueError, match="map range"):
            figures.overlay(GRADIENT, spot(1), map_range)

    def test_refuses_shapes_that_do_not_fit(self):
        with pytest.raises(ValueError, match="do not fit"):
            figures.overlay(GRADIENT, np.zeros((SIDE, SIDE + 1), np.float32), MAP_RANGE)


class TestExample:
    @pytest.mark.parametrize(
        ("defect", "is_anomalous", "is_right", "verdict"),
        [
            ("scratch", True, True, "flagged (right)"),
            ("scratch", False, False, "ok (wrong: missed)"),
            ("good", True, False, "flagged (wrong: false alarm)"),
            ("good", False, True, "ok (right)"),
            ("", True, None, "flagged"),
            ("", False, None, "ok"),
        ],
    )
    def test_says_its_verdict_in_words(self, defect, is_anomalous, is_right, verdict):
        judged = example(defect=defect, is_anomalous=is_anomalous)
        assert judged.is_right is is_right
        assert judged.verdict == verdict

    @pytest.mark.parametrize(
        "changes",
        [
            {"score": float("nan")},
            {"mask": np.zeros((SIDE, SIDE + 1), bool)},
            {"heat_map": np.zeros((SIDE + 1, SIDE), np.float32)},
            {"image": np.zeros((SIDE, SIDE), np.uint8)},
        ],
    )
    def test_refuses_what_cannot_be_drawn(self, changes):
        with pytest.raises(ValueError, match=r"do not fit|not finite"):
            example(**changes)


class TestHeatMapGrid:
    def test_writes_name_score_and_verdict_of_every_row(self):
        missed = example(name="crack/7.png", score=1e-9, is_anomalous=False)
        said = texts(figures.heat_map_grid([example(), missed], THRESHOLD, MAP_RANGE))
        assert "scratch/003.png" in said
        assert "score 5e-09 = 2.5 \u00d7 threshold: flagged (right)" in said
        assert "crack/7.png" in said
        assert "score 1e-09 = 0.5 \u00d7 threshold: ok (wrong: missed)" in said

    def test_colours_all_rows_on_one_scale(self):
        strong, weak = example(), example(heat_map=spot(1e-9))
        drawn = cells(figures.heat_map_grid([strong, weak], THRESHOLD, MAP_RANGE))
        assert len(drawn) == 6
        for row, one in enumerate((strong, weak)):
            image, outlined, heat = drawn[3 * row : 3 * row + 3]
            np.testing.assert_array_equal(image, GRADIENT)
            np.testing.assert_array_equal(outlined, GRADIENT)
            np.testing.assert_array_equal(heat, figures.overlay(GRADIENT, one.heat_map, MAP_RANGE))

    def test_outlines_the_true_defect_where_it_is(self):
        figure = figures.heat_map_grid([example()], THRESHOLD, MAP_RANGE)
        outline = next(iter(figure.findobj(ContourSet))).get_paths()[0].vertices
        np.testing.assert_allclose(outline.min(axis=0), (9.5, 3.5))
        np.testing.assert_allclose(outline.max(axis=0), (14.5, 8.5))

    def test_closes_the_outline_of_a_mask_that_fills_the_image(self):
        everywhere = example(mask=np.ones((SIDE, SIDE), bool))
        figure = figures.heat_map_grid([everywhere], THRESHOLD, MAP_RANGE)
        outline = next(iter(figure.findobj(ContourSet))).get_paths()[0].vertices
        np.testing.assert_allclose(np.ptp(outline, axis=0), (SIDE, SIDE))

    @pytest.mark.parametrize(
        ("mask", "label"), [(None, "no mask"), (np.zeros((SIDE, SIDE), bool), "no defect")]
    )
    def test_says_why_there_is_no_outline(self, mask, label):
        rows = [example(), example(mask=mask)]
        figure = figures.heat_map_grid(rows, THRESHOLD, MAP_RANGE)
        assert texts(figure).count("true defect") == 1
        assert texts(figure).count(label) == 1

    def test_leaves_outlines_out_where_no_example_has_a_mask(self):
        figure = figures.heat_map_grid([example(mask=None)] * 2, THRESHOLD, MAP_RANGE)
        assert len(cells(figure)) == 4
        assert "true defect" not in texts(figure)

    def test_says_from_where_on_a_pixel_is_unusual(self):
        """The threshold is of image scores; a map that they are not read from has its own scale."""
        said = texts(figures.heat_map_grid([example()], THRESHOLD, (0.0, 1e-9)))
        assert "5e-10: unusual" in said
        assert "1e-09 or more" in said

    def test_takes_names_as_they_are(self):
        name = "a$b_{0}^$" + "x" * 80
        figure = figures.heat_map_grid([example(name="a$b_{0}^$.png")], THRESHOLD, MAP_RANGE)
        assert "a$b_{0}^$.png" in texts(figure)
        long = figures.heat_map_grid([example(name=name)], THRESHOLD, MAP_RANGE)
        assert "..." + "x" * 48 in texts(long)
        assert figures.to_png(figure)

    def test_draws_scores_and_maps_that_are_all_zero(self):
        blank = example(heat_map=spot(0), score=0.0, is_anomalous=False)
        assert "score 0: ok (wrong: missed)" in texts(
            figures.heat_map_grid([blank], 0.0, MAP_RANGE)
        )

    def test_refuses_a_verdict_that_contradicts_the_threshold(self):
        with pytest.raises(ValueError, match=r"scratch/003.png: 'ok .*contradicts"):
            figures.heat_map_grid([example(is_anomalous=False)], THRESHOLD, MAP_RANGE)

    def test_refuses_no_example_and_values_that_are_not_finite(self):
        with pytest.raises(ValueError, match="at least one example"):
            figures.heat_map_grid([], THRESHOLD, MAP_RANGE)
        with pytest.raises(ValueError, match="not finite"):
            figures.heat_map_grid([example(heat_map=spot(np.nan))], THRESHOLD, MAP_RANGE)


def test_heat_map_figure_judges_an_image_whose_truth_nobody_knows():
    unknown = example(name="part.png", defect="", mask=None)
    figure = figures.heat_map_figure(unknown, THRESHOLD, MAP_RANGE)
    assert len(cells(figure)) == 2
    assert "score 5e-09 = 2.5 \u00d7 threshold: flagged" in texts(figure)
    assert "value of a pixel (raw, no unit)" in texts(figure)


class TestCurves:
    def test_roc_draws_the_points_it_is_given(self):
        fpr, tpr = [0.0, 0.1, 1.0], [0.0, 0.9, 1.0]
        axes = figures.roc_figure(fpr, tpr, 0.9, "Images").axes[0]
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.c_[fpr, tpr])
        assert axes.get_title() == "Images: AUROC 0.900"
        assert "false-positive rate" in axes.get_xlabel()
        assert "true-positive rate" in axes.get_ylabel()

    def test_pro_marks_its_limit(self):
        fpr, pro = [0.0, 0.1, 0.3], [0.0, 0.8, 0.95]
        axes = figures.pro_figure(fpr, pro, 0.8123).axes[0]
        np.testing.assert_array_equal(axes.lines[0].get_xydata(), np.c_[fpr, pro])
        assert set(axes.lines[1].get_xdata()) == {0.3}
        assert "0.812" in axes.get_title()

    def test_loss_draws_each_series_where_it_was_recorded(self):
        history = [
            {"step": 0, "train_loss": 1.0},
            {"step": 1, "train_loss": 0.5, "held_out_loss": 0.6},
            {"step": 2, "train_loss": 0.25},
        ]
        train, held_out = figures.loss_curve(history).axes[0].lines
        np.testing.assert_array_equal(train.get_xydata(), [[0, 1.0], [1, 0.5], [2, 0.25]])
        np.testing.assert_array_equal(held_out.get_xydata(), [[1, 0.6]])

    def test_loss_leaves_out_a_series_nobody_recorded(self):
        axes = figures.loss_curve([{"step": 1, "train_loss": 0.5}]).axes[0]
        assert [line.get_label() for line in axes.lines] == ["training images"]

    @pytest.mark.parametrize(("last", "scale"), [(0.5, "linear"), (0.01, "log"), (0.0, "linear")])
    def test_loss_takes_a_logarithmic_axis_for_decades(self, last, scale):
        history = [{"step": 0, "train_loss": 1.0}, {"step": 1, "train_loss": last}]
        assert figures.loss_curve(history).axes[0].get_yscale() == scale

    def test_refuse_what_cannot_be_drawn(self):
        with pytest.raises(ValueError, match="not finite"):
            figures.roc_figure([0, np.nan], [0, 1], 0.5, "Images")
        with pytest.raises(ValueError, match="not finite"):
            figures.pro_figure([0, 1], [0, np.inf], 0.5)
        with pytest.raises(ValueError, match="train_loss holds values that are not finite"):
            figures.loss_curve([{"step": 1, "train_loss": np.nan}])
        with pytest.raises(ValueError, match="at least one row"):
            figures.loss_curve([{"step": 1}])


class TestScoreHistogram:
    def test_counts_in_words_and_in_bars(self):
        scores = {"good": [1e-9, 2e-9, 3e-9], "scratch": [1e-7, 2e-9]}
        figure = figures.score_histogram(scores, [1e-9, 2e-9], 2e-9)
        assert [axes.get_title(loc="left") for axes in figure.axes] == [
            "good, for the threshold (0 of 2 flagged)",
            "test: good (1 of 3 flagged)",
            "test: scratch (1 of 2 flagged)",
        ]
        assert [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes] == [2, 3, 2]
        assert all(set(axes.lines[0].get_xdata()) == {2e-9} for axes in figure.axes)

    @given(scores=st.lists(POWERS, min_size=1, max_size=20), threshold=POWERS)
    @settings(max_examples=15, deadline=None)
    def test_every_bar_is_on_the_side_its_images_are_judged(self, scores, threshold):
        axes = figures.score_histogram({"good": scores}, [], threshold).axes[0]
        right = sum(
            bar.get_height()
            for bar in axes.patches
            if bar.get_x() + bar.get_width() / 2 > threshold
        )
        assert right == sum(score > threshold for score in scores)
        assert sum(bar.get_height() for bar in axes.patches) == len(scores)

    @pytest.mark.parametrize(
        ("scores", "scale"),
        [([1e-9, 1e-6], "log"), ([1.0, 2.0], "linear"), ([0.0, 5.0], "linear")],
    )
    def test_takes_a_logarithmic_axis_for_decades(self, scores, scale):
        axes = figures.score_histogram({"good": scores}, [], 1.5).axes[0]
        assert axes.get_xscale() == ("log" if scale == "log" else "linear")

    @pytest.mark.parametrize("score", [0.0, 1e-9, -3.0])
    def test_draws_equal_scores(self, score):
        axes = figures.score_histogram({"good": [score] * 4}, [score], score).axes[1]
        assert sum(bar.get_height() for bar in axes.patches) == 4

    def test_leaves_out_kinds_without_images(self):
        figure = figures.score_histogram({"good": [], "a$b": [1.0]}, [0.5], 0.7)
        assert len(figure.axes) == 2
        assert figures.to_png(figure)

    def test_refuses_nothing_and_values_that_are_not_finite(self):
        with pytest.raises(ValueError, match="at least one score"):
            figures.score_histogram({"good": []}, [], 1.0)
        with pytest.raises(ValueError, match="test: good holds values that are not finite"):
            figures.score_histogram({"good": [np.nan]}, [1.0], 1.0)
        with pytest.raises(ValueError, match="threshold"):
            figures.score_histogram({"good": [1.0]}, [1.0], np.inf)


def test_to_png_gives_a_crisp_png_twice_the_same():
    figure = figures.heat_map_grid([example()], THRESHOLD, MAP_RANGE)
    png = figures.to_png(figure)
    width, height = struct.unpack(">II", png[16:24])
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert 110 <= figure.dpi <= 150
    assert (width, height) == tuple(int(inches * figure.dpi) for inches in figure.get_size_inches())
    assert figures.to_png(figure) == png


def test_no_global_plotting_state_is_loaded():
    code = (
        "import sys; from gtrans_core.drawing import figures; "
        "figures.to_png(figures.roc_figure([0, 1], [0, 1], 0.5, 'Images')); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

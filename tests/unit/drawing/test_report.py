"""The report, read as a browser reads it: parsed, not searched for fragments of markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from pydantic import ValidationError

from gtrans_core.drawing.report import (
    DefectRow,
    ReportData,
    Step,
    Training,
    headline,
    render_report,
)
from gtrans_core.drawing.shown import Curve, Exhibit
from gtrans_core.drawing.threshold_chart import threshold_chart
from gtrans_core.evaluation.conclusion import Conclusion
from gtrans_core.evaluation.other_thresholds import ThresholdRow
from tests.support.evaluations import image_result

WEBP, HEAT = b"RIFF of the image", b"RIFF of the heat map"
SVG = '<svg viewBox="0 0 1 1"><path d="M0 0"/></svg>'
METRICS = {
    "image_auroc": 0.9911,
    "image_ap": 0.9822,
    "image_f1_max": 0.9733,
    "pixel_auroc": 0.9644,
    "pixel_ap": 0.5555,
    "pixel_f1_max": 0.5466,
    "au_pro_30": 0.9377,
    "au_pro_05": 0.7288,
    "seg_f1": 0.4922,
}
NO_MASKS = METRICS | dict.fromkeys([k for k in METRICS if not k.startswith("image")])
HOSTILE = '<script>alert(\'1\')</script>" onload="x" {{ 7 * 7 }} &amp;'
VOID = {"meta", "img", "br", "input"}


def exhibit(**facts):
    """Of an image that lies at 0.5 of the threshold, unless a test says otherwise."""
    result = image_result(**{"kind": "broken", "score": 0.5, "threshold": 1.0} | facts)
    return Exhibit(result, (8, 8), 1.5, WEBP, HEAT, "M1 1L2 2Z", "M3 3L4 4Z")


def report_data(**changes):
    values = {
        "category": "bottle",
        "created": "2026-02-11T09:41:07Z",
        "metrics": METRICS,
        "per_defect": [
            DefectRow(defect="broken", images=40, caught=40, image_auroc=1.0, au_pro=0.951),
            DefectRow(defect="dirt", images=23, caught=21, image_auroc=0.9757, au_pro=0.902),
        ],
        "good_images": 20,
        "good_flagged": 1,
        "threshold": 8.98014e-10,
        "false_alarm_rate": 0.05,
        "held_out": 42,
        "training": Training(steps=24, images=167, seconds=200.4),
        "conclusion": Conclusion("ready", "Ready: it passes every floor of the gate"),
        "steps": [Step("It passes.", "Make it the champion.", "gtrans promote bottle --store /s")],
        "mistakes": [exhibit(kind="dirt"), exhibit(kind="dirt"), exhibit(kind="good", score=2.0)],
        "examples": {"broken": [exhibit(score=3.0)], "good": [exhibit(kind="good")]},
        "chart": threshold_chart({"good": [0.5, 2.0], "dirt": [0.9, 3.0]}, [0.4, 1.0], 1.0),
        "thresholds": [ThresholdRow(1.0, ("in use: promises 5 % false alarms",), True, 1, 1)],
        "curves": [Curve("The loss.", SVG)],
        "lineage": {"git sha": "0123abcd"},
        "config": {"training.epochs": 24, "image.crop": None},
        "commands": {"Score an image": "gtrans predict IMAGE"},
        "notes": ["No test image was used to select anything."],
    } | changes
    return ReportData(**values)


class Page(HTMLParser):
    """Every element with its attributes, the words inside it, and the elements around it."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self._open = []
        self.feed(html)
        self.close()
        assert not self._open, "elements left open"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "attributes": dict(attributes), "words": "", "in": list(self._open)}
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag):
        assert self._open.pop()["tag"] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        for element in self._open:
            element["words"] += data

    def all(self, tag):
        return [element for element in self.elements if element["tag"] == tag]

    def words(self, tag):
        return [" ".join(element["words"].split()) for element in self.all(tag)]

    def tiles(self):
        """Metric name -> value as written."""
        values = [e for e in self.all("dd") if "value" in e["attributes"]["class"].split()]
        names = self.words("dt")
        return dict(zip(names, [e["words"].strip() for e in values], strict=True))

    def rows(self):
        """The table of kinds, row by row, without its head."""
        rows = [e for e in self.all("tr") if any(a["tag"] == "tbody" for a in e["in"])]
        return [[e["words"] for e in self.elements if e["in"][-1:] == [row]] for row in rows]


def page(**changes):
    return Page(render_report(report_data(**changes)))


class TestSelfContained:
    def test_fetches_nothing_and_runs_only_its_own_script(self):
        html = render_report(report_data())
        shown = Page(html)
        references = [
            value
            for element in shown.elements
            for name, value in element["attributes"].items()
            if name in {"src", "href", "srcset", "data", "action"}
        ]
        assert references
        assert all(r.startswith(("data:image/webp;base64,", "#")) for r in references)
        assert not shown.all("link")
        assert not re.search(r"https?:|@import", html)
        data, script = shown.all("script")
        assert data["attributes"]["type"] == "application/json"
        assert not script["attributes"]
        digest = base64.b64encode(hashlib.sha256(script["words"].encode()).digest()).decode()
        policy = [e["attributes"].get("content") for e in shown.all("meta")]
        assert (
            "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
            f"script-src 'sha256-{digest}'" in policy
        )

    def test_without_a_chart_nothing_runs_at_all(self):
        shown = page(chart=None)
        assert not shown.all("script")
        policy = [e["attributes"].get("content") for e in shown.all("meta")]
        assert "default-src 'none'; img-src data:; style-src 'unsafe-inline'" in policy

    def test_carries_each_picture_once_and_unchanged(self):
        images = page().all("image")
        assert len(images) == 2 * 5
        carried = [e["attributes"]["href"].partition(",")[2] for e in images]
        assert {base64.b64decode(data) for data in carried} == {WEBP, HEAT}

    def test_every_reference_within_the_page_leads_somewhere_and_no_id_is_there_twice(self):
        shown = page()
        ids = [e["attributes"]["id"] for e in shown.elements if "id" in e["attributes"]]
        assert len(ids) == len(set(ids))
        wanted = [e["attributes"]["href"].removeprefix("#") for e in shown.all("use")]
        assert wanted
        assert set(wanted) <= set(ids)

    def test_suits_phones_dark_screens_and_paper(self):
        html = render_report(report_data())
        assert 'name="viewport"' in html
        assert "prefers-color-scheme: dark" in html
        assert "@media print" in html


def test_hostile_text_is_shown_and_never_obeyed():
    hostile = exhibit(kind=HOSTILE, path=HOSTILE)
    shown = page(
        category=HOSTILE,
        created=HOSTILE,
        per_defect=[DefectRow(defect=HOSTILE, images=1, caught=1)],
        conclusion=Conclusion("not_ready", HOSTILE),
        steps=[Step(HOSTILE, HOSTILE, HOSTILE)],
        mistakes=[hostile],
        examples={HOSTILE: [hostile]},
        chart=threshold_chart({HOSTILE: [1.0]}, [0.5], 0.7),
        thresholds=[ThresholdRow(1.0, (HOSTILE,), True, 0, 0)],
        curves=[],
        lineage={HOSTILE: HOSTILE},
        config={HOSTILE: HOSTILE},
        commands={HOSTILE: HOSTILE},
        notes=[HOSTILE],
    )
    assert len(shown.all("script")) == 2
    assert not any("onload" in element["attributes"] for element in shown.elements)
    as_shown = " ".join(HOSTILE.split())
    times = {"h1": 1, "h3": 1, "code": 2, "li": 2, "td": 3, "summary": 2, "p": 3}
    for tag, count in times.items():
        assert sum(as_shown in words for words in shown.words(tag)) == count, tag


class TestMistakes:
    def test_each_says_what_it_is_and_where(self):
        summaries = page().words("summary")
        assert summaries[0] == "dirt: missed test/dirt/0.png score 0.5 = 0.5 \u00d7 threshold"
        assert summaries[2].startswith("good: false alarm test/good/0.png score 2 = 2")

    @pytest.mark.parametrize(
        ("score", "said"),
        [(1.0005, "just above"), (1.0, "at or just below"), (0.9996, "at or just below")],
    )
    def test_a_score_that_rounds_to_the_threshold_says_its_side(self, score: float, said: str):
        [summary, *_] = page(mistakes=[exhibit(score=score)]).words("summary")
        assert summary.endswith(f", {said} the threshold")

    def test_all_are_announced(self):
        assert any(words.startswith("All 3: misses first") for words in page().words("p"))

    def test_what_there_is_none_of_is_not_announced(self):
        words = " ".join(page(good_flagged=0).words("p"))
        assert "Both: misses, the worst first. Open one" in words

    def test_what_is_left_out_is_said(self):
        words = " ".join(page(mistakes=[exhibit()]).words("p"))
        assert "The worst 1 of 3: misses first" in words
        assert "The rest is in images.csv beside this report." in words

    def test_an_open_one_has_the_image_its_heat_map_and_both(self):
        first = page(mistakes=[exhibit()], examples={})
        captions = [e["words"] for e in first.all("figcaption")][:3]
        assert captions[0] == "Image; dashed: the true defect"
        assert captions[1].startswith("Heat map")
        assert (
            "values that few good images reach: 25\u00a0% of the image, in 2 regions" in captions[2]
        )

    def test_the_part_keeps_its_shape(self):
        [view, *_] = page(mistakes=[exhibit()], examples={}).all("svg")
        assert view["attributes"]["viewbox"] == "0 0 12.0 8"


class TestThreshold:
    def test_without_the_script_a_table_says_what_others_would_do(self):
        [row] = [row for row in page().rows() if row[0] == "1" and len(row) == 4]
        assert row == ["1", "in use: promises 5 % false alarms", "1 of 63", "1 of 20"]

    def test_the_script_is_given_the_very_scores(self):
        facts = json.loads(page().all("script")[0]["words"])
        assert facts["threshold"] == 1.0
        assert [row["scores"] for row in facts["rows"]] == [[0.4, 1.0], [0.5, 2.0], [0.9, 3.0]]

    def test_counts_and_slider_are_there_from_the_start(self):
        shown = page()
        [slider] = shown.all("input")
        assert slider["attributes"]["type"] == "range"
        assert any(e["attributes"].get("for") == "threshold" for e in shown.all("label"))
        words = {e["attributes"].get("id"): e["words"] for e in shown.all("td")}
        assert words["caught"] == "61 caught"
        assert words["false-alarms"] == "1 false alarm"

    def test_what_was_not_tested_is_not_counted(self):
        shown = page(per_defect=[], mistakes=[])
        ids = {e["attributes"].get("id") for e in shown.all("td")}
        assert "false-alarms" in ids
        assert "caught" not in ids
        assert ["none tested", "1 of 20"] in [row[2:] for row in shown.rows()]


class TestVerdict:
    def test_leads(self):
        words = page().words("p")
        assert words[1] == "Ready: it passes every floor of the gate."

    def test_each_step_has_its_reason_and_its_command(self):
        shown = page()
        assert shown.words("code")[0] == "gtrans promote bottle --store /s"
        assert "Make it the champion. It passes. gtrans promote bottle --store /s" in shown.words(
            "li"
        )


class TestNumbers:
    def test_each_metric_is_under_its_name(self):
        assert page().tiles() == {
            "Image AUROC": "0.991",
            "Image AP (average precision)": "0.982",
            "Image F1-max": "0.973",
            "AU-PRO@0.3": "0.938",
            "Pixel AUROC": "0.964",
            "Pixel AP (average precision)": "0.555",
            "Pixel F1-max": "0.547",
            "AU-PRO@0.05": "0.729",
            "SegF1": "0.492",
        }

    def test_what_there_is_no_number_for_is_not_available(self):
        shown = page(metrics=NO_MASKS, per_defect=[DefectRow(defect="broken", images=3, caught=3)])
        values = list(shown.tiles().values())
        assert values.count("not available") == 6
        assert "0.000" not in values
        assert shown.rows()[0] == ["broken", "3", "3", "none", "not available", "not available"]
        assert sum("lacks masks" in words for words in shown.words("dd")) == 6

    def test_enough_of_a_defect_has_columns_where_it_is_known(self):
        rows = [
            DefectRow(defect="logical", images=3, caught=3, au_pro=0.4, au_spro=(0.91, 0.82)),
            DefectRow(defect="other", images=1, caught=1),
        ]
        saturated = METRICS | {"au_spro_30": 0.7, "au_spro_05": 0.6}
        shown = page(metrics=saturated, per_defect=rows, chart=None, mistakes=[])
        assert shown.rows()[0][-3:] == ["0.400", "0.910", "0.820"]
        assert shown.rows()[1][-2:] == ["not available", "not available"]
        tiles = shown.tiles()
        assert (tiles["AU-sPRO@0.3"], tiles["AU-sPRO@0.05"]) == ("0.700", "0.600")

    def test_zero_is_a_number(self):
        assert (
            page(metrics=METRICS | {"pixel_ap": 0.0}).tiles()["Pixel AP (average precision)"]
            == "0.000"
        )

    def test_kinds_are_counted_row_by_row(self):
        assert page(chart=None).rows() == [
            ["broken", "40", "40", "none", "1.000", "0.951"],
            ["dirt", "23", "21", "2 missed", "0.976", "0.902"],
            ["good (no defect)", "20", "1", "1 falsely flagged", "", ""],
        ]
        assert "2 of 63 defective images are missed at the threshold in use." in page().words("p")

    def test_what_became_of_feedback_is_said_beside_the_kinds(self):
        said = "Of 3 test images from feedback, 2 are judged right now."
        assert said in page(feedback=said).words("p")

    def test_the_au_pro_of_all_and_of_each_kind_are_told_apart(self):
        assert any(
            "AU-PRO@0.3 of all images (0.938) is not the mean" in p for p in page().words("p")
        )
        assert not any("is not the mean" in p for p in page(metrics=NO_MASKS).words("p"))

    def test_the_threshold_is_explained_with_its_numbers(self):
        words = " ".join(page().words("p"))
        assert "its score is above 8.98e-10" in words
        assert "42 good images that were kept out of training" in words
        assert "at most 5 %" in words
        assert "1 of 20 flagged (5 %)" in words
        assert "above the promise" not in words
        assert "above the promise" in " ".join(page(good_flagged=2).words("p"))

    def test_training_and_notes_are_told(self):
        assert page(steps=[]).words("li") == [
            "Trained for 24 steps on 167 good images in 3 min 20 s.",
            "No test image was used to select anything.",
        ]
        unknown = page(training=Training(steps=24, images=167), notes=[], steps=[])
        assert unknown.words("li") == ["Trained for 24 steps on 167 good images."]

    @pytest.mark.parametrize(
        ("seconds", "words"), [(0.4, "0 s"), (59.6, "1 min 0 s"), (3725, "1 h 2 min")]
    )
    def test_durations_read_well(self, seconds, words):
        training = Training(steps=1, images=2, seconds=seconds)
        assert page(training=training, steps=[]).words("li")[0].endswith(f"images in {words}.")


class TestHeadline:
    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            (
                {},
                "Of 63 defective test images 61 are flagged; of 20 good ones 1 is "
                "(false alarms promised: at most 5 %).",
            ),
            (
                {"good_flagged": 0, "false_alarm_rate": 0.025},
                "Of 63 defective test images 61 are flagged; of 20 good ones none is "
                "(false alarms promised: at most 2.5 %).",
            ),
            (
                {"good_images": 0, "good_flagged": 0},
                "Of 63 defective test images 61 are flagged.",
            ),
            (
                {"per_defect": []},
                "No defective image was tested, so nothing is known about misses; of 20 good test "
                "images 1 is flagged (false alarms promised: at most 5 %).",
            ),
            (
                {
                    "per_defect": [DefectRow(defect="dirt", images=1, caught=1)],
                    "good_images": 1,
                    "good_flagged": 0,
                },
                "The only defective test image is flagged; the only good one is not "
                "(false alarms promised: at most 5 %).",
            ),
            (
                {"per_defect": [], "good_images": 0, "good_flagged": 0},
                "No defective image was tested, so nothing is known about misses.",
            ),
        ],
    )
    def test_is_one_plain_sentence(self, changes, sentence):
        assert headline(report_data(**changes)).replace("\u00a0", " ") == sentence

    def test_is_on_top(self):
        shown = page()
        assert shown.words("h1") == ["bottle"]
        lead = next(e for e in shown.all("p") if e["attributes"].get("class") == "headline")
        assert " ".join(lead["words"].split()).startswith("Of 63 defective test images 61")


class TestOrder:
    def test_is_from_outcome_to_detail(self):
        assert page().words("h2") == [
            "What to do next",
            "Misses and false alarms",
            "Kind by kind",
            "The threshold",
            "Metrics",
            "Hardest and easiest of each kind",
            "Curves",
            "Use it",
            "How this came about",
        ]
        assert page().words("figcaption")[-1] == "The loss."

    def test_folds_lineage_and_configuration(self):
        shown = page(mistakes=[], examples={})
        assert shown.words("summary") == ["Lineage", "Configuration"]
        folded = [
            e["words"] for e in shown.all("td") if any(a["tag"] == "details" for a in e["in"])
        ]
        assert folded == ["0123abcd", "24", "not set"]

    def test_leaves_out_what_there_is_not(self):
        nothing = {key: {} for key in ("lineage", "config", "commands", "examples")}
        nothing |= dict.fromkeys(("per_defect", "steps", "mistakes", "curves"), ())
        bare = page(**nothing, chart=None)
        assert bare.words("h2") == [
            "Kind by kind",
            "The threshold",
            "Metrics",
            "How this came about",
        ]
        assert not bare.all("details")
        assert not bare.all("figure")
        assert any("Nothing is known about misses" in words for words in bare.words("p"))

    def test_speaks_of_a_single_defective_image_as_one(self):
        for caught, outcome in ((1, "test image is flagged"), (0, "image is missed")):
            row = DefectRow(defect="dirt", images=1, caught=caught)
            assert f"The only defective {outcome} at the threshold in use." in page(
                per_defect=[row], mistakes=[]
            ).words("p")

    def test_says_when_nothing_is_missed(self):
        rows = [DefectRow(defect="broken", images=40, caught=40)]
        assert any(
            words.startswith("None of the 40 defective test images is missed")
            for words in page(per_defect=rows).words("p")
        )


class TestReportData:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"metrics": {"image_auroc": 1.0}}, "missing: au_pro_05"),
            ({"metrics": METRICS | {"image_auroc": 1.2}}, "less than or equal to 1"),
            ({"metrics": METRICS | {"image_auroc": float("nan")}}, "image_auroc"),
            ({"metrics": METRICS | {"accuracy": 1.0}}, "accuracy"),
            ({"threshold": float("inf")}, "finite"),
            ({"good_flagged": 21}, "21 of 20 good images flagged"),
            ({"colour": "red"}, "Extra inputs"),
        ],
    )
    def test_refuses_what_cannot_be(self, changes, message):
        with pytest.raises(ValidationError, match=message):
            report_data(**changes)

    def test_refuses_more_caught_than_there_are(self):
        with pytest.raises(ValidationError, match="3 caught of 2 images"):
            DefectRow(defect="dirt", images=2, caught=3)

    def test_counts_over_all_kinds(self):
        data = report_data()
        assert (data.defective_images, data.caught, data.missed) == (63, 61, 2)

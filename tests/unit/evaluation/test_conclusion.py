"""The verdict in a line, and what to do next: by rules, with commands that parse."""

import shlex
from typing import Any

import pytest

from gtrans.pipelines.gates import load_gate
from gtrans_core.config import GTransConfig
from gtrans_core.config.reading import load_config
from gtrans_core.detector.promise import promise_of
from gtrans_core.evaluation.advice import Findings, NextStep, next_steps
from gtrans_core.evaluation.conclusion import conclude
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.evaluation.gate import check_gate
from gtrans_core.evaluation.image_table import ImageResult
from gtrans_core.evaluation.record import EvaluationRecord
from tests.support.evaluations import image_result
from tests.support.records import evaluation_record

GATE = load_gate()
DENT = DefectResult(defect="dent", images=20, caught=19, image_auroc=0.95, au_pro_30=None)
HELD_OUT = [number / 100 for number in range(1, 101)]
SIZE = (1000, 500)


def record(**facts: Any) -> EvaluationRecord:
    return evaluation_record(**{"per_defect": (DENT,), "good_flagged": 0} | facts)


def sentence(**facts: Any) -> str:
    found = record(**facts)
    return conclude(found, check_gate(GATE, found.evidence(), None)).sentence


class TestConclusion:
    def test_is_ready_when_the_floors_are_passed(self):
        assert sentence() == "Ready: it passes every floor of the gate"

    @pytest.mark.parametrize(
        ("facts", "said"),
        [
            ({"metrics": {"image_auroc": 0.869}}, "image AUROC 0.869, the floor is 0.90"),
            ({"metrics": {"image_auroc": 0.89996}}, "image AUROC 0.899960, the floor is 0.90"),
            (
                {"good_images": 3, "per_defect": (DefectResult("dent", 9, 9, 1.0, None),)},
                "12 test images, at least 20 are needed",
            ),
            ({"metrics": {"image_auroc": None}}, "image AUROC is not known, the floor is 0.90"),
        ],
    )
    def test_says_what_is_missing_in_plain_words(self, facts: dict[str, Any], said: str):
        assert sentence(**facts) == f"Not ready: {said}"

    def test_without_defects_nobody_knows(self):
        assert sentence(per_defect=()).startswith("Not tested on defects: ")


def steps(
    images: list[ImageResult] | None = None, config: GTransConfig | None = None, **facts: Any
) -> tuple[NextStep, ...]:
    found = record(**facts)
    images = images or []
    return next_steps(
        Findings(
            record=found,
            conclusion=conclude(found, check_gate(GATE, found.evidence(), None)),
            config=config or GTransConfig(),
            seen=(256, 256),
            source="/data/my parts",
            images=images,
            sizes={row.path: SIZE for row in images},
            held_out=HELD_OUT,
        )
    )


def missed(number: int, score: float = 0.2, area: float | None = 0.05) -> ImageResult:
    return image_result(path=f"test/dent/{number}.png", score=score, defect_area=area)


def alarm(number: int, x: int, y: int) -> ImageResult:
    path = f"test/good/{number}.png"
    return image_result(path=path, kind="good", score=2.0, peak_x=x, peak_y=y)


class TestNextSteps:
    def test_what_is_ready_is_promoted(self):
        [step] = steps()
        assert step.command == ("promote", "part")

    def test_what_was_not_tested_is_tested(self):
        [step] = steps(per_defect=(), metrics={})
        assert "below test/DEFECT" in step.what
        assert step.command == ("run", "--category", "part", "--data", "/data/my parts")

    def test_small_misses_are_looked_at_with_a_finer_grain(self):
        _, step = steps([missed(1, area=0.002), missed(2, area=0.004), missed(3)])
        assert "2 of 3 missed images show a defect that covers only 0.3\u00a0%" in step.why
        assert "--set=agn.taps=[4, 8, 16]" in step.command

    def test_there_is_nothing_finer_than_the_finest(self):
        fine = GTransConfig.from_json('{"agn": {"taps": [4, 8, 16]}}')
        assert all("finer" not in step.what for step in steps([missed(1, area=0.002)], fine))

    def test_misses_just_below_the_threshold_have_a_price(self):
        good = [
            image_result(kind="good", path=f"test/good/{i}", score=s)
            for i, s in ((1, 0.95), (2, 0.3))
        ]
        _, step = steps([missed(1, score=0.93), *good])
        assert step.why == "The missed image lies just below the threshold."
        assert "10\u00a0% false alarms are fine (1 of 2 good test images here)" in step.what
        again = ("recalibrate", "part", "--false-alarm-rate", "0.1", "--version", "VERSION")
        assert step.command == again

    def test_a_rate_is_a_plain_number(self):
        _, step = steps([missed(1, score=0.88), missed(2, score=0.87)])
        assert step.why == "Both missed images lie just below the threshold."
        assert "15\u00a0% false alarms" in step.what
        assert step.command[3] == "0.15"

    def test_clear_misses_of_large_defects_are_looked_at(self):
        _, step = steps([missed(1), missed(2)])
        assert "clearly below" in step.why
        assert "--set=image.size=512" in step.command

    def test_false_alarms_that_look_alike_are_learnt(self):
        rows = [alarm(1, 500, 250), alarm(2, 520, 255), alarm(3, 480, 240), alarm(4, 10, 10)]
        _, step = steps(rows)
        assert step.why.startswith("3 of 4 false alarms show the same place (about 500 pixels")
        assert "add more good images" in step.what

    def test_false_alarms_that_chance_explains_are_left_alone(self):
        rows = [alarm(1, 0, 0), alarm(2, 900, 400)]
        assert len(steps(rows, good_flagged=2)) == 1

    def test_more_than_chance_explains_are_told(self):
        rows = [alarm(number, 150 * number, 60 * number) for number in range(6)]
        _, step = steps(rows, good_flagged=6)
        assert step.why.startswith("6 of 30 good test images are flagged, more than chance")
        assert step.command[:4] == ("recalibrate", "part", "--good", "FOLDER")

    def test_too_few_good_images_are_told_apart(self):
        short = promise_of(11, 1 / 12, 0.05, 11)
        _, step = steps(promise=short, held_out=11, false_alarm_rate=1 / 12)
        assert step.why == "11 good images cannot promise 5\u00a0% false alarms."
        assert "can come from 19" in step.what

    def test_a_refusal_without_a_miss_is_explained_too(self):
        [step] = steps(metrics={"image_auroc": 0.5})
        assert step.why.startswith("The gate refuses it")

    def test_the_command_keeps_what_was_set_and_is_read_back(self):
        own = GTransConfig.from_json(
            '{"seed": 3, "training": {"compile": true}, "image": {"interpolation": "bicubic"}}'
        )
        _, step = steps([missed(1, area=0.002)], own)
        line = shlex.split(shlex.join(step.command))
        overrides = [word.removeprefix("--set=") for word in line if word.startswith("--set=")]
        finer = own.model_copy(update={"agn": own.agn.model_copy(update={"taps": (4, 8, 16)})})
        assert load_config(None, overrides) == finer

"""A report of made-up images, as evaluate writes one: for tests that look at its page."""

from __future__ import annotations

import numpy as np

from gtrans.pipelines.gates import load_gate
from gtrans_core.config import ImageConfig
from gtrans_core.data.manifest import Sample
from gtrans_core.drawing.gallery import draw_gallery
from gtrans_core.drawing.report import DefectRow, ReportData, Step, Training
from gtrans_core.evaluation.conclusion import conclude
from gtrans_core.evaluation.evaluation import Evaluation, defect_results, split_metrics
from gtrans_core.evaluation.gate import check_gate
from gtrans_core.evaluation.image_table import image_results
from gtrans_core.evaluation.other_thresholds import threshold_rows
from tests.support.records import evaluation_record

SIDE, THRESHOLD = 32, 1.0
HELD_OUT = [0.5 + number / 80 for number in range(41)]
GOOD = [0.4 + number / 30 for number in range(20)]  # one above the threshold
DENT = [0.7, 0.9, *(1.1 + number / 10 for number in range(10))]  # two missed


def report_data() -> ReportData:
    """Of 20 good images one is flagged, of 12 with a dent two are missed."""
    rng = np.random.default_rng(0)
    kinds, scores = ["good"] * len(GOOD) + ["dent"] * len(DENT), np.array(GOOD + DENT)
    samples = tuple(
        Sample(path=f"test/{kind}/{i:03}.png", sha256=f"{i:064x}", defect=kind, width=64, height=48)
        for i, kind in enumerate(kinds)
    )
    maps = rng.random((len(kinds), SIDE, SIDE), np.float32) * 0.3
    maps[:, 8:16, 8:16] += scores[:, None, None]
    masks = np.zeros(maps.shape, bool)
    masks[len(GOOD) :, 8:16, 8:16] = True
    views = rng.integers(60, 160, (len(kinds), 3, SIDE, SIDE), np.uint8)
    scored = Evaluation(samples, views, maps, scores, masks)
    images = image_results(scored, THRESHOLD, THRESHOLD, ImageConfig(size=SIDE))
    metrics, kinds_found = split_metrics(scored, THRESHOLD), defect_results(scored, THRESHOLD)
    history = [{"step": step, "train_loss": 1 / (step + 1)} for step in range(9)]
    drawn = draw_gallery(scored, images, metrics, THRESHOLD, THRESHOLD, HELD_OUT, history, 2)
    record = evaluation_record(metrics=metrics, per_defect=tuple(kinds_found), good_images=20)
    [dent] = kinds_found
    return ReportData(
        category="part",
        created="2026-11-28T22:00:00+00:00",
        metrics=metrics,
        per_defect=(DefectRow(defect="dent", images=12, caught=dent.caught),),
        good_images=20,
        good_flagged=1,
        threshold=THRESHOLD,
        false_alarm_rate=0.05,
        held_out=len(HELD_OUT),
        training=Training(steps=8, images=96),
        conclusion=conclude(record, check_gate(load_gate(), record.evidence(), None)),
        steps=(Step("It passes.", "Make it the champion.", "gtrans promote part --store /s"),),
        mistakes=drawn.mistakes,
        examples=dict(drawn.examples),
        chart=drawn.chart,
        thresholds=threshold_rows(images, HELD_OUT, THRESHOLD, 0.05),
        curves=drawn.curves,
    )

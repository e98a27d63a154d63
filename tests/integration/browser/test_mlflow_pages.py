"""MLflow's own pages of our runs: what `gtrans compare` leads to is really drawn."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from gtrans.cli.main import app
from gtrans_core.drawing.report import render_report
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.tracking.client import TrackingAddress
from gtrans_core.tracking.pages import page_address
from gtrans_core.tracking.runs import RunLogger, open_run
from tests.support.records import evaluation_record
from tests.support.reports import report_data

pytestmark = pytest.mark.slow

METRICS = (
    {"image_auroc": 0.98765, "pixel_auroc": 0.97531, "au_pro_30": 0.93579},
    {"image_auroc": 0.96543, "pixel_auroc": 0.98642, "au_pro_30": 0.91357},
)
DENT = DefectResult("dent", 60, 55, 0.97, 0.91)


@dataclass(frozen=True)
class Record:
    """An MLflow server with two finished runs of one category."""

    url: str
    profile: Path
    runs: tuple[RunLogger, ...]
    experiment: str


@pytest.fixture(scope="module")
def record(processes, tmp_path_factory) -> Iterator[Record]:
    folder = tmp_path_factory.mktemp("mlflow")
    with processes.mlflow_server(folder, processes.free_port()) as url:
        runs = tuple(finished_run(url, number) for number in range(2))
        profile = folder / "server.toml"
        profile.write_text(f'store = "{folder}/store"\ntracking_uri = "{url}"\n')
        experiment = runs[0].client.get_run(runs[0].run_id).info.experiment_id
        yield Record(url, profile, runs, experiment)


def finished_run(url: str, number: int) -> RunLogger:
    run = open_run(TrackingAddress(url, "gtrans"), f"key-{number}", "bottle")
    run.log_params({"seed": 0, "training.epochs": 8 * (number + 1), "agn.backbone": "lite0"})
    dent = replace(DENT, caught=55 + 3 * number)
    run.log_metrics(evaluation_record(metrics=METRICS[number], per_defect=(dent,)).charted())
    for step in range(20):
        run.client.log_metric(run.run_id, "loss", 1 / (step + 1 + number), step=step)
    drawing = io.BytesIO()
    Image.fromarray(np.full((30, 40, 3), 120, np.uint8)).save(drawing, "PNG")
    run.log_artifact_bytes("figures/roc.png", drawing.getvalue())
    run.finish()
    return run


def test_the_page_that_compare_prints_shows_and_plots_both_runs(record, open_page, tmp_path):
    result = CliRunner().invoke(
        app, ["compare", "--category", "bottle", "--profile", str(record.profile)]
    )
    assert result.exit_code == 0, result.output
    [address] = [line.strip() for line in result.output.splitlines() if "#/compare-runs" in line]
    page = wide(open_page(address))
    for text in ("0.988", "0.965", "training.epochs", "image_auroc"):
        page.wait_for(f"document.body.innerText.includes('{text}')")
    # The axes of the parallel coordinates, and a line for each run.
    axes = "[...document.querySelectorAll('.js-plotly-plot .axis-title')].map(e => e.textContent)"
    page.wait_for(f"{axes}.includes('training.epochs')")
    assert "Headline/defects_missed" in page.evaluate(axes)
    keep(page, "mlflow-compare.png", tmp_path)


def test_the_experiment_page_charts_the_metrics_of_the_runs(record, open_page, tmp_path):
    url = page_address(record.url, f"#/experiments/{record.experiment}/runs?compareRunsMode=CHART")
    page = wide(open_page(url))
    for run in record.runs:
        name = run.client.get_run(run.run_id).info.run_name
        page.wait_for(f"document.body.innerText.includes('{name}')")
    for section in ("Headline (4)", "defect/dent (3)", "Model metrics"):
        text = "document.body.innerText.replaceAll('\\n', ' ')"
        page.wait_for(f"{text}.includes('{section}')")
    page.wait_for("document.querySelectorAll('.js-plotly-plot svg.main-svg .trace').length > 0")
    shown = page.evaluate("document.body.innerText")
    assert shown.index("Headline") < shown.index("defect/dent") < shown.index("Model metrics")
    keep(page, "mlflow-experiment.png", tmp_path)


def test_a_runs_figures_are_drawn(record, open_page):
    run = record.runs[0].run_id
    url = f"{record.url}/#/experiments/{record.experiment}/runs/{run}/artifacts/figures/roc.png"
    page = open_page(url)
    sizes = "[...document.images].map(image => [image.naturalWidth, image.naturalHeight].join())"
    page.wait_for(f"{sizes}.includes('40,30')")


def test_a_runs_report_lets_the_threshold_be_tried(record, open_page, tmp_path):
    """In the frame that MLflow itself makes: a blob, which may run scripts and is of no origin."""
    run = record.runs[0]
    run.log_artifact_bytes("report.html", render_report(report_data()).encode())
    url = f"{record.url}/#/experiments/{record.experiment}/runs/{run.run_id}/artifacts/report.html"
    page = wide(open_page(url))
    page.wait_for("Boolean(document.querySelector('iframe.mlflow-html-iframe'))")
    frame = page.frame()
    frame.wait_for(
        "document.readyState === 'complete' && Boolean(document.querySelector('.slider'))"
    )
    assert not frame.evaluate("document.querySelector('.slider').hidden")
    frame.slide("#threshold", 0)
    assert frame.text("#missed") == "0 missed"
    keep(page, "mlflow-report.png", tmp_path)


def wide(page):
    """A window of some size, without MLflow's assistant, which takes a third of it."""
    page.resize(1300, 900)
    page.wait_for("document.body?.innerText.includes('MLflow Assistant')")
    page.evaluate("""[...document.querySelectorAll('button')].filter(
      one => /close/i.test(one.ariaLabel ?? '') && one.getBoundingClientRect().x > 1000
    ).forEach(one => one.click())""")
    return page


def keep(page, name: str, folder: Path) -> None:
    """Take a picture: for the docs where ``GTRANS_TEST_PICTURES`` names a folder."""
    picture = page.screenshot(Path(os.environ.get("GTRANS_TEST_PICTURES", folder)) / name)
    assert len(np.unique(np.asarray(Image.open(picture).convert("L")))) > 20  # not an empty page

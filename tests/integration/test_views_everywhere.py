"""Tiles, a region that follows the background's colour, an even exposure and copies in other light,
all at once: a detector that has them, through every verb that uses one."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans.serving.app import create_app
from gtrans.serving.models import Models, ServedModel
from gtrans.serving.settings import ServeSettings
from gtrans_core.config.region import PACKED
from gtrans_core.detector.detector import Detector
from gtrans_core.evaluation.image_table import ImageResult, read_images
from gtrans_core.tracking.client import connect
from gtrans_core.tracking.registry.registry import fetch_model
from tests.support.runs import CATEGORY, TinyRun, save

NAME = f"gtrans-{CATEGORY}"
VIEW = (
    "image.tiles=[1, 2]",
    "image.overlap=16",
    "image.region=foreground",
    "image.exposure=even",
    "training.light_augmentation=on",
    "scoring.engine=onnxruntime",
    "evaluation.perturbed_images=1",
)
PART = slice(16, 48)


def write_parts(root: Path) -> None:
    """Rough parts on a smooth ground; dents lie in the part, spots beside it."""
    rng, folder = np.random.default_rng(0), root / "data" / CATEGORY

    def write(kind: str, count: int, place: tuple[slice, slice] | None = None) -> None:
        for number in range(count):
            pixels = np.full((64, 96, 3), 40, np.uint8)
            pixels[PART, 32:64] = rng.integers(100, 200, (32, 32, 3), np.uint8)
            if place:
                pixels[place], mask = 255, np.zeros((64, 96), np.uint8)
                mask[place] = 255
                save(folder / f"ground_truth/{Path(kind).name}/{number}_mask.png", mask)
            save(folder / f"{kind}/{number}.png", pixels)

    write("train/good", 11)
    write("test/good", 2)
    write("test/dent", 2, (slice(24, 36), slice(40, 52)))
    write("test/spot", 2, (slice(2, 10), slice(2, 10)))
    write("fresh", 6)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    root = tmp_path_factory.mktemp("plant")
    write_parts(root)
    tiny = TinyRun(root, overrides=VIEW)
    (root / "data" / CATEGORY / "fresh").rename(root / "fresh")
    tiny.go()
    return tiny


@pytest.fixture(scope="module")
def detector(run: TinyRun) -> Detector:
    return Detector.load(run.path("detector"))


@pytest.fixture(scope="module")
def rows(run: TinyRun) -> list[ImageResult]:
    return read_images(run.path("evaluation") / "images.parquet")


def gtrans(run: TinyRun, verb: str, *arguments: str) -> Result:
    store = ["--store", str(run.root / "store")]
    done = CliRunner().invoke(app, [verb, *arguments, *store], env={"COLUMNS": "200"})
    assert done.exit_code in (0, 20), done.output
    return done


def test_outside_nothing_is_seen_scored_flagged_or_counted(
    run: TinyRun, detector: Detector, rows: list[ImageResult]
) -> None:
    image = detector.info.config.image
    assert str(image.region).startswith(PACKED)
    inside = image.inside
    assert inside is not None
    assert 0.15 < inside.mean() < 0.5
    spot = run.root / "data" / CATEGORY / "test/spot/0.png"
    view = detector.view(spot.read_bytes(), "spot")
    assert not view[:, ~inside].any()
    prediction = detector.predict_view(view)
    assert not prediction.heat_map[~inside].any()
    assert {row.kind for row in rows} == {"good", "dent"}
    [dent, _] = [row for row in rows if row.kind == "dent"]
    above = detector.predict_bytes([_bytes(run, dent)])[0].heat_map > detector.map_level
    assert dent.area_above == pytest.approx(above[inside].mean())


def _bytes(run: TinyRun, row: ImageResult) -> bytes:
    return (run.root / "data" / CATEGORY / row.path).read_bytes()


def test_the_report_says_what_is_judged_and_what_is_left_out(run: TinyRun) -> None:
    page = run.path("report.html").read_text()
    assert "% of the image is judged (image.region)" in page
    assert "has learnt from copies of the good images" in page
    assert "2 defective test images show their defect outside image.region" in page
    record = json.loads((run.path("evaluation") / "record.json").read_text())
    assert [kind["defect"] for kind in record["per_defect"]] == ["dent"]
    assert record["robustness"]["defective"] == 1


def test_torch_the_packaged_graph_batch_and_serve_give_the_score_of_the_report(
    run: TinyRun, detector: Detector, rows: list[ImageResult]
) -> None:
    from fastapi.testclient import TestClient

    table = run.root / "scores.csv"
    images = str(run.root / "data" / CATEGORY / "test/dent")
    model = f"models:/{NAME}@challenger"
    gtrans(run, "predict", images, "--model", model, "--out", str(table), "--heat-maps",
           str(run.root / "heat"))  # fmt: skip
    batch = {row["image_sha256"]: float(row["score"]) for row in csv.DictReader(table.open())}

    class Shelf:
        category = CATEGORY

        def changed(self, served: ServedModel) -> bool:
            return False

        def load(self) -> ServedModel:
            return ServedModel(CATEGORY, 1, "0" * 64, detector)

    with TestClient(create_app(Models([Shelf()]), ServeSettings())) as client:
        for row in (row for row in rows if row.kind == "dent"):
            data = _bytes(run, row)
            answer = client.post(
                f"/predict/{CATEGORY}?layers=true",
                content=data,
                headers={"Content-Type": "image/png"},
            ).json()
            assert batch[row.sha256] == row.score == answer["score"]
            assert answer["layers"]["area_above"] == pytest.approx(row.area_above)
            view = detector.view(data, row.path)
            torch = detector.scorer.score_view(view)[1]
            assert torch == pytest.approx(row.score, rel=1e-3)  # the scene model is in int8
    assert len(list((run.root / "heat").rglob("*.png"))) == 2


def test_drift_export_and_recalibrate_keep_what_it_sees(
    run: TinyRun, detector: Detector, tmp_path: Path
) -> None:
    assert "images in use" in gtrans(run, "drift", CATEGORY).output
    gtrans(run, "export", f"{CATEGORY}@challenger", "--to", str(tmp_path / "other"))
    facts = json.loads((tmp_path / "other/export.json").read_text())
    assert facts["largest_relative_difference_of_a_score"]["model.onnx"] < 5e-3
    gtrans(run, "recalibrate", CATEGORY, "--good", str(run.root / "fresh"))
    client = connect(run.settings.tracking_uri)
    version = client.get_model_version_by_alias(NAME, "challenger").version
    assert int(version) == 2
    again = Detector.load(fetch_model(client, f"models:/{NAME}/{version}", tmp_path / "again"))
    assert again.info.config.image == detector.info.config.image
    assert again.info.threshold != detector.info.threshold

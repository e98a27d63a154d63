"""``gtrans predict`` with a real, tiny detector."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from gtrans.cli.main import app
from gtrans_core.detector.detector import Detector
from gtrans_core.detector.files import detector_digest
from gtrans_core.errors import ConfigError, DataError, ModelError, StorageError
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.watch.record import read_counts
from tests.support.detectors import make_detector

REGISTRY = "gtrans_core.tracking.registry"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("part [3]")
    noise = np.random.default_rng(0)
    paths = [folder / f"{i}.png" for i in range(3)]
    for path in paths:
        Image.fromarray(noise.integers(0, 256, (80, 96, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture(scope="module")
def detector(tmp_path_factory, images: list[Path], tiny_config) -> Path:
    """A detector whose threshold flags the highest of the three images alone."""
    made = make_detector(tiny_config("agn.backbone=test_resnet", "scoring.engine=torch"))
    predictions = made.predict_bytes([path.read_bytes() for path in images])
    scores = sorted(prediction.score for prediction in predictions)
    info = made.info.model_copy(update={"threshold": (scores[1] + scores[2]) / 2})
    folder = tmp_path_factory.mktemp("model") / "detector"
    Detector(made.scorer, info).save(folder)
    return folder


def gtrans_predict(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_it_prints_what_the_detector_says_and_draws_each_image(
    detector: Path, images: list[Path], tmp_path: Path
):
    result = gtrans_predict(*images, "--model", detector, "--heat-maps", tmp_path / "maps")
    assert result.exit_code == 0, result.output
    loaded = Detector.load(detector)
    predictions = loaded.predict_bytes([path.read_bytes() for path in images])
    expected = [
        [
            "flagged" if prediction.is_anomalous else "ok",
            f"{prediction.score:.4g}",
            f"{loaded.info.threshold:.4g}",
        ]
        for prediction in predictions
    ]
    rows = result.output.splitlines()[1:]
    assert [row.split()[:3] for row in rows] == expected
    assert sorted(word for word, *_ in expected) == ["flagged", "ok", "ok"]
    for row, image in zip(rows, images, strict=True):
        named, _, drawing = row.partition(" -> ")
        assert named.endswith(str(image))
        assert Image.open(drawing).format == "PNG"


def test_a_registered_model_is_fetched_from_the_profiles_registry(
    detector: Path, images: list[Path], tmp_path: Path
):
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "mlflow.db").touch()
    fetch = patch(f"{REGISTRY}.registry.fetch_model", autospec=True, return_value=detector)
    connect = patch("gtrans_core.tracking.client.connect", autospec=True)
    version = ModelVersion("gtrans-part", 4, "", "")
    find = patch(f"{REGISTRY}.versions.version_now", autospec=True, return_value=version)
    with fetch as fetched, connect as connected, find as found:
        uri = "models:/gtrans-part@challenger"
        place = ("--store", tmp_path / "s", "--heat-maps", tmp_path / "maps")
        result = gtrans_predict(images[0], "--model", uri, *place)
    assert result.exit_code == 0, result.output
    connected.assert_called_once_with(f"sqlite:///{tmp_path}/s/mlflow.db")
    found.assert_called_once_with(connected.return_value, uri)
    # By its number: the alias may move between the two questions.
    assert fetched.call_args.args[:2] == (connected.return_value, "models:/gtrans-part/4")
    counts = read_counts(tmp_path / "s" / "watch", "part", detector_digest(detector))
    assert counts.total() == 1


def test_a_store_without_a_registry_is_refused_and_not_made(images: list[Path], tmp_path: Path):
    place = ("--store", tmp_path / "typo", "--heat-maps", tmp_path / "maps")
    result = gtrans_predict(images[0], "--model", "models:/gtrans-part@challenger", *place)
    assert isinstance(result.exception, ModelError)
    assert "typo/mlflow.db" in str(result.exception)
    assert not (tmp_path / "typo").exists()


def test_bad_images_are_all_named_and_the_good_ones_are_scored(
    detector: Path, images: list[Path], tmp_path: Path
):
    (tmp_path / "text.png").write_text("not an image")
    bad = [tmp_path / "text.png", tmp_path / "missing.png"]
    result = gtrans_predict(*bad, images[0], "--model", detector, "--heat-maps", tmp_path / "maps")
    assert isinstance(result.exception, DataError)
    summary, *lines = str(result.exception).splitlines()
    assert summary == "2 of 3 images could not be scored"
    assert [line.strip().partition(": ")[0] for line in lines] == [str(path) for path in bad]
    assert result.output.splitlines()[-1].endswith("-0.png")


def test_a_folder_that_is_no_detector_is_refused(images: list[Path], tmp_path: Path):
    result = gtrans_predict(images[0], "--model", tmp_path, "--heat-maps", tmp_path / "maps")
    assert isinstance(result.exception, ModelError)
    assert str(tmp_path) in str(result.exception)


def test_an_unwritable_output_is_told(detector: Path, images: list[Path], tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    result = gtrans_predict(images[0], "--model", detector, "--heat-maps", tmp_path / "file")
    assert isinstance(result.exception, StorageError)


def test_without_heat_maps_nothing_is_written(
    detector: Path, images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    result = gtrans_predict(images[0].parent, "--model", detector)
    assert result.exit_code == 0, result.output
    assert [row.split()[-1] for row in result.output.splitlines()[1:]] == [
        str(path).split()[-1] for path in images
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_into_a_table(detector: Path, images: list[Path], tmp_path: Path):
    out = tmp_path / "results.parquet"
    options = ("--model", detector, "--out", out, "--heat-maps", tmp_path / "maps")
    result = gtrans_predict(images[0].parent, *options)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == f"{out}: 3 images, 1 flagged"
    table = pq.read_table(out)
    assert table["path"].to_pylist() == [str(path) for path in images]
    assert table["model_version"].to_pylist() == [None] * 3
    assert len(list((tmp_path / "maps").iterdir())) == 3


def test_a_bad_image_is_a_row_and_the_exit_code_says_so(
    detector: Path, images: list[Path], tmp_path: Path
):
    (tmp_path / "text.png").write_text("not an image")
    out = tmp_path / "results.parquet"
    result = gtrans_predict(tmp_path / "text.png", images[0], "--model", detector, "--out", out)
    assert isinstance(result.exception, DataError)
    assert str(result.exception).startswith("1 of 2 images could not be scored\n")
    assert pq.read_table(out)["error"].null_count == 1


def test_a_registered_models_batch_is_counted_for_drift_unless_told_not_to(
    detector: Path, images: list[Path], tmp_path: Path
):
    (tmp_path / "mlflow.db").touch()
    version = ModelVersion("gtrans-part", 4, "", "")
    with (
        patch(
            f"{REGISTRY}.registry.fetch_model",
            autospec=True,
            return_value=detector,
        ),
        patch("gtrans_core.tracking.client.connect", autospec=True),
        patch(
            f"{REGISTRY}.versions.version_now",
            autospec=True,
            return_value=version,
        ),
    ):
        options = ("--model", "models:/gtrans-part/4", "--store", tmp_path)
        for name, more in (("a", ()), ("b", ("--no-watch",))):
            out = tmp_path / f"{name}.parquet"
            result = gtrans_predict(*images, *options, "--out", out, *more)
            assert result.exit_code == 0, result.output
    assert pq.read_table(out)["model_version"].to_pylist() == [4] * 3
    assert read_counts(tmp_path / "watch", "part", detector_digest(detector)).total() == 3


def test_what_cannot_work_is_refused_before_the_model_is_loaded(images: list[Path], tmp_path: Path):
    (tmp_path / "done.parquet").touch()
    (tmp_path / "empty").mkdir()
    folder = images[0].parent
    for arguments, error, text in (
        ((folder, "--out", tmp_path / "maps"), ConfigError, "expected a name that ends in"),
        ((folder, "--out", tmp_path / "done.parquet"), StorageError, "is there already"),
        ((folder, "--heat-maps", folder / "maps"), ConfigError, "among the images"),
        ((tmp_path / "empty",), DataError, "holds no image"),
    ):
        with patch("gtrans_core.detector.detector.Detector.load", autospec=True) as load:
            result = gtrans_predict(*arguments, "--model", tmp_path)
        assert isinstance(result.exception, error), result.output
        assert text in str(result.exception)
        load.assert_not_called()


def test_every_file_of_a_folder_is_scored_has_a_reason_or_is_counted(
    detector: Path, images: list[Path], tmp_path: Path
):
    for name in ("a.jpe", "b.DIB", "without", "c\x1b[31m.png"):
        (tmp_path / "shots").mkdir(exist_ok=True)
        (tmp_path / "shots" / name).write_bytes(images[0].read_bytes())
    (tmp_path / "shots/d.heic").write_bytes(b"x")
    (tmp_path / "shots/gone.png").symlink_to("nowhere")
    for name in ("a.txt", "b.txt", "film.mp4"):
        (tmp_path / "shots" / name).touch()
    result = gtrans_predict(tmp_path / "shots", "--model", detector)
    assert isinstance(result.exception, DataError)
    _, *rows, last = result.output.splitlines()
    words = [row.split()[0] for row in rows]
    [verdict] = set(words) - {"no"}  # four copies of one image
    assert verdict in {"ok", "flagged"}
    assert sorted(words) == sorted(["no", "no", *[verdict] * 4])
    assert any(
        row.endswith("d.heic: HEIC is not read, save it as PNG, JPEG, BMP, TIFF or WebP")
        for row in rows
    )
    assert "\x1b" not in result.output
    assert last == "left out, since they are no images: 2 .txt, 1 .mp4"
    out = tmp_path / "r.parquet"
    result = gtrans_predict(tmp_path / "shots", "--model", detector, f"--out={out}")
    assert result.output.splitlines()[-1] == (
        f"{out}: 6 images, {words.count('flagged')} flagged, 2 not scored; "
        "left out, since they are no images: 2 .txt, 1 .mp4"
    )

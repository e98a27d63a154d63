"""``gtrans.load`` and what the detector makes of images of every kind."""

import io
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

import gtrans
from gtrans_core.detector.detector import Detector as CoreDetector
from gtrans_core.detector.files import detector_digest
from gtrans_core.tracking.registry.versions import ModelVersion
from gtrans_core.trust.keys import make_key_pair
from tests.support.detectors import make_detector
from tests.support.images import encoded, png
from tests.support.tiny import tiny_config

REGISTRY = "gtrans_core.tracking.registry"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector that flags what scores more than the image of seed 0."""
    made = make_detector(tiny_config("scoring.scene_share=0"))
    [first] = made.predict_bytes([png(0, (90, 80))])
    info = made.info.model_copy(update={"threshold": first.score})
    path = tmp_path_factory.mktemp("model") / "detector"
    CoreDetector(made.scorer, info).save(path)
    return path


@pytest.fixture(scope="module")
def detector(folder: Path) -> gtrans.Detector:
    return gtrans.load(folder)


@pytest.fixture(autouse=True)
def _no_store_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GTRANS_STORE", raising=False)


def test_a_detector_says_what_it_is(detector: gtrans.Detector, folder: Path):
    loaded = CoreDetector.load(folder)
    assert detector.category == "part"
    assert detector.version is None
    assert detector.threshold == loaded.info.threshold
    assert detector.input_shape == (64, 64)
    assert repr(detector) == "<gtrans.Detector of part, not registered>"


def test_an_image_scores_the_same_however_it_comes(detector: gtrans.Detector, tmp_path: Path):
    data = png(0, (90, 80))
    path = tmp_path / "a [1].png"
    path.write_bytes(data)
    opened = Image.open(path)
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    predictions = [
        detector.predict(image)
        for image in (path, str(path), data, bytearray(data), memoryview(data), opened, pixels)
    ]
    assert {prediction.score for prediction in predictions} == {detector.threshold}
    assert {prediction.is_anomalous for prediction in predictions} == {False}
    for prediction in predictions:
        assert prediction.heat_map.dtype == np.float32
        assert prediction.heat_map.shape == (64, 64)
        np.testing.assert_array_equal(prediction.heat_map, predictions[0].heat_map)
    assert opened.size == (90, 80)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((70, 80), np.uint8), ((70, 80), np.uint16), ((70, 80, 4), np.uint8)]
)
def test_grey_deep_and_transparent_arrays_score_as_their_files(
    detector: gtrans.Detector, shape: tuple[int, ...], dtype: type
):
    high = np.iinfo(dtype).max
    pixels = np.random.default_rng(1).integers(0, high, shape, dtype, endpoint=True)
    assert detector.predict(pixels).score == detector.predict(encoded(pixels)).score


def test_a_turned_photograph_of_pillow_is_turned_and_stays_as_it_was(detector: gtrans.Detector):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(np.asarray(Image.open(io.BytesIO(png(3, (90, 40))))), exif=exif)
    opened = Image.open(io.BytesIO(data))
    assert detector.predict(opened).score == detector.predict(data).score
    assert opened.size == (90, 40)


def test_many_are_scored_one_by_one(detector: gtrans.Detector):
    asked = iter([png(0, (90, 80)), png(1), b"no image", png(2)])
    predictions = detector.predict_many(asked)
    assert next(predictions).score == detector.threshold
    assert next(predictions).score != detector.threshold
    with pytest.raises(gtrans.DataError, match=r"^image 3: not a PNG"):
        next(predictions)
    assert next(asked) == png(2)


def test_a_drawing_is_the_image_under_its_heat_map(detector: gtrans.Detector):
    drawing = detector.predict(png(1, (90, 80))).draw()
    assert (drawing.mode, drawing.size) == ("RGB", (64, 64))
    assert len(drawing.getcolors(64 * 64)) > 64


def test_a_prediction_shows_its_verdict(detector: gtrans.Detector):
    shown = repr(detector.predict(png(0, (90, 80))))
    assert shown.startswith("Prediction(score=")
    assert "is_anomalous=False, threshold=" in shown
    assert "array" not in shown


@pytest.mark.parametrize(
    ("image", "told"),
    [
        (b"", "image: empty file"),
        ("nowhere.png", "nowhere.png: cannot be read (No such file or directory)"),
        (np.zeros((70, 80, 3)), "image: an array of float64 [70, 80, 3]; expected uint8 [H, W, 3]"),
        (np.zeros((70, 80, 2), np.uint8), "image: an array of uint8 [70, 80, 2]"),
        (np.zeros((0, 0), np.uint8), "image: an array of uint8 [0, 0]"),
        (np.zeros(70, np.uint8), "image: an array of uint8 [70]"),
        (np.zeros((2, 80), np.uint8), "image: too small: 80 x 2 pixels"),
        (Image.new("F", (70, 80)), "image: unsupported pixel mode F"),
        (None, "image: a NoneType; expected a path, the bytes of an image file, an array"),
    ],
)
def test_what_cannot_be_scored_is_one_line(detector: gtrans.Detector, image: object, told: str):
    with pytest.raises(gtrans.DataError) as error:
        detector.predict(image)
    assert str(error.value).startswith(told)
    assert "\n" not in str(error.value)


def test_a_folder_of_images_is_no_image(detector: gtrans.Detector, tmp_path: Path):
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    with pytest.raises(gtrans.DataError, match="holds 2 images; name one of them"):
        detector.predict(tmp_path)


def test_a_folder_without_a_detector_is_one_line(tmp_path: Path):
    with pytest.raises(gtrans.ModelError, match=r"detector\.json: cannot be read"):
        gtrans.load(tmp_path)


def test_a_store_without_a_registry_is_told(tmp_path: Path):
    with pytest.raises(gtrans.ModelError, match=r"typo/mlflow\.db"):
        gtrans.load("models:/gtrans-part@champion", store=tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_registered_detector_must_be_signed_where_there_is_a_public_key(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
):
    _, public = make_key_pair(tmp_path / "keys")
    monkeypatch.setenv("GTRANS_PUBLIC_KEY", str(public))
    if by == "environment":
        monkeypatch.setenv("GTRANS_STORE", str(tmp_path))
    (tmp_path / "mlflow.db").touch()
    version = ModelVersion("gtrans-part", 4, detector_digest(folder), "")
    with (
        patch(f"{REGISTRY}.registry.fetch_model", autospec=True, return_value=folder) as fetched,
        patch("gtrans_core.tracking.client.connect", autospec=True) as connected,
        patch(f"{REGISTRY}.versions.version_now", autospec=True, return_value=version) as found,
        patch(f"{REGISTRY}.loading.require_approved", autospec=True, return_value=1) as approved,
    ):
        store = tmp_path if by == "argument" else None
        detector = gtrans.load("models:/gtrans-part@champion", store=store)
    connected.assert_called_once_with(f"sqlite:///{tmp_path}/mlflow.db")
    found.assert_called_once_with(connected.return_value, "models:/gtrans-part@champion")
    client, uri, _, trust = fetched.call_args.args
    assert (client, uri) == (connected.return_value, "models:/gtrans-part/4")
    assert (trust.public_key, trust.unsigned_now) == (public, "refuse")
    approved.assert_called_once_with(client, version, trust)
    assert detector.version == 4
    assert repr(detector) == "<gtrans.Detector of part, version 4>"

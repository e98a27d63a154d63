from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image

from gtrans_core.detector.detector import Prediction
from gtrans_core.errors import DataError
from gtrans_core.tracking.registry.served_model import MAX_IMAGES, ServedDetector


class BrightnessDetector:
    """Stands in for a detector: the score is the mean of the pixels."""

    map_range = (0.0, 255.0)

    def view(self, data, name):
        try:
            pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        except OSError:
            raise DataError(f"{name}: not an image") from None
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def predict_bytes(self, images):
        views = [self.view(data, f"image {i}") for i, data in enumerate(images, start=1)]
        return [
            Prediction(float(view.mean()), view.mean() > 100, view[0].astype(np.float32))
            for view in views
        ]


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (12, 8), (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def served() -> ServedDetector:
    model = ServedDetector()
    model._detector = BrightnessDetector()
    return model


def predict(served, images, **params):
    return served.predict(None, pd.DataFrame({"image": images}), params)


def test_one_row_an_image_in_order(served):
    table = predict(served, [png(200), png(10)])
    assert table.to_dict("list") == {"score": [200.0, 10.0], "is_anomalous": [True, False]}
    assert table.dtypes.astype(str).to_dict() == {"score": "float64", "is_anomalous": "bool"}


def test_base64_text_is_the_same_image(served):
    text = base64.encodebytes(png(200)).decode()
    assert predict(served, [text])["score"].item() == 200.0


def test_heat_map_where_asked_for(served):
    table = predict(served, [png(200)], return_map=True)
    drawn = Image.open(io.BytesIO(base64.b64decode(table["heat_map_png"].item())))
    assert (drawn.format, drawn.size) == ("PNG", (12, 8))
    assert "heat_map_png" not in predict(served, [png(200)], return_map=False)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "0 images in one request: expected 1 to"),
        ([png(1)] * (MAX_IMAGES + 1), f"{MAX_IMAGES + 1} images in one request"),
        ([png(1), b"text"], "image 2: not an image"),
        ([png(1), "?!"], "image 2: expected the bytes"),
        ([None], "image 1: expected the bytes"),
        ([3.5], "image 1: expected the bytes"),
    ],
)
def test_anything_but_images_is_the_callers_fault(served, images, message):
    with pytest.raises(MlflowException, match=message) as caught:
        predict(served, images)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_missing_column(served):
    with pytest.raises(MlflowException, match="column 'image' is missing") as caught:
        served.predict(None, pd.DataFrame({"picture": [png(1)]}))
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"

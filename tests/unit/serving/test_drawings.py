"""Layers of a heat map lie where the network looked."""

from __future__ import annotations

import pytest

from gtrans.serving.drawings import layers_of
from tests.support.detectors import make_detector
from tests.support.images import png
from tests.support.tiny import tiny_config


def test_those_of_a_cropped_view_lie_on_the_middle_of_the_image():
    detector = make_detector(tiny_config("image.size=[64,128]", "image.crop=32"))
    view = detector.view(png(size=(200, 100)), "part.png")
    layers = layers_of((200, 100), view, detector.predict_view(view), detector)
    assert layers.shape == (32, 32)
    assert layers.box == pytest.approx((0.375, 0.25, 0.25, 0.5))

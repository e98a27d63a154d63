"""What is read of a good image: as torch's scorer reads it from the same map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from gtrans_core.detector.reading import reading
from gtrans_core.network.score import image_score
from tests.support.tiny import tiny_config

MAP = np.random.default_rng(3).random((64, 64), dtype=np.float32)


class Drawn:
    """Stands in for an engine: always the same map."""

    def score_view(self, view: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        return MAP, 0.25


@pytest.mark.parametrize(
    "given",
    [
        ["scoring.image_score=max"],
        ["scoring.image_score=top_percent", "scoring.top_percent=1"],
        ["scoring.image_score=top_percent", "scoring.top_percent=0.01"],
        ["scoring.image_score=top_percent", "scoring.top_percent=100"],
        [
            "scoring.image_score=top_percent",
            "image.tiles=[2,2]",
            "image.size=32",
            "image.overlap=0",
        ],
    ],
)
def test_it_is_what_torch_reads_of_the_map(given: list[str]) -> None:
    config = tiny_config(*given)
    score, read = reading(Drawn(), np.zeros((3, *MAP.shape), np.uint8), config)
    maps, alike = torch.from_numpy(MAP)[None], torch.ones(1, 1, 1)
    expected = image_score(maps, alike, config.scoring, config.image.scored_pixels)
    assert score == 0.25
    assert read == pytest.approx(float(expected), rel=1e-6)

"""What ingest refuses before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.config import load_config
from gtrans_core.errors import DataError
from gtrans_core.steps.ingest import _require_calibration


def test_too_few_images_left_for_the_scene_model_are_told_before_training():
    config = load_config(overrides=["training.held_out_fraction=0.9"])
    with pytest.raises(DataError, match=r"25 different images, of which 3 .* scene model needs 4"):
        _require_calibration(25, config, Path("part"))
    _require_calibration(40, config, Path("part"))
    alone = load_config(overrides=["training.held_out_fraction=0.9", "scoring.scene_share=0"])
    _require_calibration(25, alone, Path("part"))

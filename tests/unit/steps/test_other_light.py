"""Copies in other light from the cache to the report: held-out good images choose, both ways."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from gtrans_core.steps import learning
from gtrans_core.steps.judging import what_is_settled
from gtrans_core.training.training_info import TrainingInfo
from tests.support.detectors import make_scorer
from tests.support.runs import TinyRun, save
from tests.support.tiny import tiny_config

AUTO = "training.light_augmentation=auto"


@pytest.mark.parametrize(
    ("growing", "learnt"), [(0, True), (12, False)], ids=["alike", "different"]
)
def test_good_images_choose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, growing: int, learnt: bool
) -> None:
    """Copies help where good parts are alike but for the light, not where they differ by far more.

    The journal is left out: it goes to MLflow, which takes longer than all the rest.
    """
    monkeypatch.setattr(learning, "JournalFlusher", Mock())
    rng = np.random.default_rng(0)
    part = rng.integers(90, 130, (64, 64, 3))
    for number in range(15):
        most = 8 + growing * number
        pixels = (part + rng.integers(-most, most + 1, part.shape)).clip(0, 255)
        save(tmp_path / f"data/part/train/good/{number}.png", pixels.astype(np.uint8))
    run = TinyRun(tmp_path, overrides=(AUTO, "training.epochs=1"))
    run.go("ingest", "cache_features", "train")
    info = TrainingInfo.read(run.path("model"))
    assert info.in_other_light is learnt
    config = tiny_config(AUTO, "scoring.scene_share=0.5")
    [said] = what_is_settled(make_scorer(config), config, info)
    assert "(training.light_augmentation)" in said
    assert ("has learnt from copies" in said) is learnt
    assert ("do not show that they help" in said) is not learnt

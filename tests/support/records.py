"""What a detector and its evaluation say of themselves, for tests that need no network."""

from __future__ import annotations

from typing import Any

from gtrans_core.config import GTransConfig
from gtrans_core.detector.files import DetectorInfo
from gtrans_core.evaluation.record import EvaluationRecord
from gtrans_core.training.training_info import TrainingInfo


def detector_info(config: GTransConfig | None = None, **facts: Any) -> DetectorInfo:
    """The facts of a detector of ``part``; what a test is about, it names."""
    sound = {
        "category": "part",
        "config": config or GTransConfig(),
        "threshold": 1.0,
        "held_out_scores": (0.1, 0.2),
        "data_digest": "0" * 64,
        "training_key": "1" * 64,
        "weights_sha256": "2" * 64,
    }
    return DetectorInfo(**{**sound, **facts})


def training_info(config: GTransConfig, **facts: Any) -> TrainingInfo:
    """The facts of a short training; what a test is about, it names."""
    sound = {
        "key": "k",
        "cache_key": "c",
        "config": config,
        "weights_sha256": "0" * 64,
        "held_out": ("0" * 64,),
        "trained_on": 9,
        "steps": 3,
        "seconds": 1.0,
        "resumed_at": None,
        "history": [],
    }
    return TrainingInfo(**{**sound, **facts})


def evaluation_record(**facts: Any) -> EvaluationRecord:
    """The record of a good detector of ``part``; what a test is about, it names."""
    sound = {
        "category": "part",
        "data_digest": "d" * 64,
        "metrics": {"image_auroc": 0.95},
        "per_defect": (),
        "threshold": 0.5,
        "false_alarm_rate": 0.05,
        "held_out": 42,
        "good_images": 30,
        "good_flagged": 3,
        "training_seconds": None,
        "config": {},
        "lineage": {},
    }
    return EvaluationRecord(**{**sound, **facts})

"""What decides the weights of a training: its key."""

from __future__ import annotations

from dataclasses import asdict

import torch

from gtrans_core.config import GTransConfig, digest_of, earlier_layout
from gtrans_core.training.device import choose_device, choose_precision, thread_count
from gtrans_core.training.split import Split

TRAINING_CODE = "0.1.0"
"""The version of gtrans that last changed what a training computes. It is in the key of every
training: raise it with the code, and only then, so that a new release finds trainings of before."""
_NOT_IN_KEY = {
    "checkpoint_every",
    "device",
    "threads",
    "resident_mb",
    "effort",
    "steps",
    "light_augmentation",
    "calibration",
}
"""Knobs of ``training``: they decide no weights, or are in the key in another form."""


def training_key(cache_key: str, config: GTransConfig, split: Split | None = None) -> str:
    """sha256 (hex) of all that decides the trained weights; equal keys may share them.

    Args:
        cache_key: of the features.
        config: all knobs.
        split: who learns from which image, where that is not the usual (``Split.is_usual``).
    """
    device = choose_device(config.training)
    knobs = earlier_layout(config.model_dump(mode="json"))
    training = {name: value for name, value in knobs["training"].items() if name not in _NOT_IN_KEY}
    if config.training.epochs is None:
        training["steps"] = config.training.total_steps(steps_per_epoch=0)
    return digest_of(
        ({} if split is None else {"split": asdict(split)})
        | {
            "cache": cache_key,
            "seed": config.seed,
            "trans": knobs["trans"],
            "training": training,
            "device": device.type,
            "precision": str(choose_precision(config.training, device)),
            "threads": thread_count(config.training) if device.type == "cpu" else None,
            "code": TRAINING_CODE,
            "torch": torch.__version__,
        }
    )

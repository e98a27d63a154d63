"""The smallest config that trains, and photographs of one part to train it on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.manifest import Manifest, Sample
from tests.support.images import photo

TINY = (
    "image.size=64",
    "agn.backbone=test_efficientnet",
    "agn.taps=[4, 8, 16]",
    "agn.weights=random:0",
    "trans.backbone=test_resnet",
    "trans.token_width=16",
    "trans.tokens_per_map=4",
    "training.epochs=4",
    "training.batch_size=4",
    "training.checkpoint_every=1",
    "training.device=cpu",
    "training.threads=1",
    "training.light_augmentation=off",
    "evaluation.perturbed_images=0",
    "evaluation.false_alarm_rate=0.4",  # so that two of eleven images are enough to hold out
)


def tiny_config(*overrides: str) -> GTransConfig:
    """``tiny_config("seed=1", ...)``: a config whose training takes a second, with overrides."""
    return load_config(overrides=[*TINY, *overrides])


def photos(folder: Path, count: int) -> Manifest:
    """PNG files in a folder, and the training manifest of them."""
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for number in range(count):
        data = photo(number)
        (folder / f"{number:03}.png").write_bytes(data)
        samples.append(
            Sample(
                path=f"{number:03}.png",
                sha256=hashlib.sha256(data).hexdigest(),
                defect="good",
                width=80,
                height=72,
            )
        )
    return Manifest(
        category="part", source="test", split="train", root=str(folder), samples=tuple(samples)
    )

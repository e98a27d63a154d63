"""Small categories from images to metrics, on a small network, in a process of their own."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.accuracy.gtrans import run_gtrans
from benchmarks.accuracy.splits import Category
from benchmarks.speed.memory import peak_bytes_so_far
from benchmarks.speed.process import in_own_process
from benchmarks.speed.streaming import SMALL
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.sources.demo import generate_demo

SIDE = 64


def learn_in_own_process(categories: int, images: int) -> dict[str, Any]:
    """CPU seconds and the highest memory of learning and judging this many, one after the other.

    Args:
        categories: each has its own images.
        images: good ones to train on, in each.
    """
    with tempfile.TemporaryDirectory() as folder:
        for number in range(categories):
            data = Path(folder) / f"part{number}"
            generate_demo(data, seed=number, train=images, test_good=6, per_defect=1, size=SIDE)
        return in_own_process(__name__, folder)


def learn(root: Path) -> dict[str, Any]:
    """Cache, train, fit the scene model, score the test images, take the metrics; each category."""
    torch.set_num_threads(1)
    config = load_config(overrides=SMALL)
    folders = sorted(root.iterdir())
    started = time.process_time()
    for folder in folders:
        run_gtrans(Category.read(folder), config, {"default": GTransConfig()}, root / "store")
    return {"cpu_s": time.process_time() - started, "peak_bytes": peak_bytes_so_far()}


if __name__ == "__main__":
    print(json.dumps(learn(Path(sys.argv[1]))))  # noqa: T201 - its answer

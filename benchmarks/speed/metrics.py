"""Exact metrics of a whole test set: time and memory, in a process of their own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from benchmarks.speed.memory import peak_bytes_so_far
from benchmarks.speed.process import in_own_process
from gtrans_core.evaluation.metrics import image_metrics, pixel_metrics

MAPS, SIDE = 1725, 256
"""As many as MVTec AD has test images."""


def measure(store: Path) -> dict[str, Any]:
    """CPU seconds and the highest memory of ``MAPS`` maps."""
    del store
    return evaluate_in_own_process(MAPS, SIDE)


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    gigabytes = found["peak_bytes"] / 1e9
    return "\n".join(
        [
            f"| {found['maps']} maps of {found['side']} x {found['side']} | found | asked |",
            "|---|---|---|",
            f"| CPU-s, one thread | {found['cpu_s']:.1f} | under 60 s on two cores |",
            f"| memory, maps, masks and Python included | {gigabytes:.1f} GB | under 4 GB |",
        ]
    )


def evaluate_in_own_process(maps: int, side: int) -> dict[str, Any]:
    """As ``evaluate``, where nothing else adds to the memory."""
    return in_own_process(__name__, str(maps), str(side))


def evaluate(count: int, side: int) -> dict[str, Any]:
    """All metrics of smooth random maps; every second has a square defect."""
    generator = np.random.default_rng(0)
    maps = np.empty((count, side, side), np.float32)
    masks = np.zeros(maps.shape, bool)
    for i, heat in enumerate(maps):
        heat[:] = gaussian_filter(generator.standard_normal((side, side), np.float32), 4)
        if i % 2:
            y, x = generator.integers(0, side * 3 // 4, 2)
            masks[i, y : y + side // 4, x : x + side // 4] = True
    started = time.process_time()
    pixel_metrics(masks, maps)
    image_metrics(np.arange(count) % 2, maps.max(axis=(1, 2)))
    seconds = time.process_time() - started
    return {
        "maps": count,
        "side": side,
        "cpu_s": round(seconds, 3),
        "peak_bytes": peak_bytes_so_far(),
    }


if __name__ == "__main__":
    print(json.dumps(evaluate(int(sys.argv[1]), int(sys.argv[2]))))  # noqa: T201 - its answer

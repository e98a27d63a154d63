"""What one core of this machine can do at best, and what a network needs of it."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from gtrans_core.network.scorer import Scorer

MATRIX_SIDE = 1024
STREAM_SHAPE = (128, 90_000)
"""46 MB of fp32: far more than a core's own cache, as the scene model's principal maps are too."""


def matrix_product() -> Callable[[], object]:
    """fp32 matrix product: 2 · side³ operations at the highest rate that a library reaches."""
    side = np.random.default_rng(0).random((MATRIX_SIDE, MATRIX_SIDE), np.float32)
    return lambda: side @ side


def stream() -> Callable[[], object]:
    """A matrix-vector product: reads every byte of a matrix once."""
    matrix = np.random.default_rng(0).random(STREAM_SHAPE, np.float32)
    vector = np.ones(STREAM_SHAPE[1], np.float32)
    return lambda: matrix @ vector


def matrix_gflops(cpu_ms: float) -> float:
    """10⁹ operations a second."""
    return round(2 * MATRIX_SIDE**3 / cpu_ms / 1e6, 1)


def stream_gbytes(cpu_ms: float) -> float:
    """10⁹ bytes a second."""
    return round(4 * STREAM_SHAPE[0] * STREAM_SHAPE[1] / cpu_ms / 1e6, 1)


def operations(scorer: Scorer, size: int) -> int:
    """Multiplications and additions of convolutions and matrix products for one view."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        scorer(torch.zeros(1, 3, size, size, dtype=torch.uint8))
    found: int = counter.get_total_flops()
    return found


def scene_bytes(scorer: Scorer) -> int:
    """Bytes of principal maps, packaged in int8, that one view is multiplied with: twice each."""
    if scorer.scene is None:
        return 0
    state = scorer.scene.state_dict()
    elements: list[int] = [maps.numel() for name, maps in state.items() if name.startswith("basis")]
    return 2 * sum(elements)


def cpu_name() -> str:
    """Name and model number of the processor, where Linux tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    return f"{facts.get('model name', platform.machine())}, model {facts.get('model', '?')}"

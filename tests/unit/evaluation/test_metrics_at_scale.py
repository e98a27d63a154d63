"""Pixel metrics of a whole test split stay within their time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CALLS = ["pixel_metrics(masks, maps)", "au_pro(masks, maps, 0.3)"]
DECIMALS = [9, 2]

# The maps are made once; each measurement is a fork, whose peak counts them as its own.
MEASURE = f"""
import json, os, time
from pathlib import Path
import numpy as np
from scipy.ndimage import gaussian_filter
from gtrans_core.evaluation.metrics import au_pro, pixel_metrics

generator = np.random.default_rng(0)
maps = np.empty((1000, 256, 256), dtype=np.float32)
masks = np.zeros(maps.shape, dtype=np.uint8)
for index, heat in enumerate(maps):
    noise = generator.standard_normal((256, 256), dtype=np.float32)
    gaussian_filter(noise, 4, output=heat)
    if index % 2:
        y, x = generator.integers(0, 192, 2)
        masks[index, y:y + 64, x:x + 64] = 1
for call in {CALLS}:
    for decimals in {DECIMALS}:
        fork = os.fork()
        if fork:
            assert os.waitpid(fork, 0)[1] == 0
            continue
        maps.round(decimals, out=maps)
        start = time.process_time()
        eval(call)
        seconds = time.process_time() - start
        lines = Path("/proc/self/status").read_text().splitlines()
        [peak] = [int(line.split()[1]) * 1024 for line in lines if "VmHWM" in line]
        print(json.dumps([call, decimals, seconds, peak]), flush=True)
        os._exit(0)
"""


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, int], tuple[float, int]]:
    """CPU seconds and peak bytes of each call on maps of so many decimals."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = map(json.loads, done.stdout.splitlines())
    return {(call, decimals): (seconds, peak) for call, decimals, seconds, peak in rows}


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("decimals", DECIMALS)
def test_a_thousand_maps_in_time_and_memory(measured, call: str, decimals: int):
    """1,000 maps of 256 x 256: under 30 s of one core and 3 GB, inputs and Python included."""
    seconds, peak_bytes = measured[call, decimals]
    assert seconds < 30
    assert peak_bytes < 3e9

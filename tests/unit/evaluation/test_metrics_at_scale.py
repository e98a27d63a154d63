"""Pixel metrics of a whole test split stay within their time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("call", ["pixel_metrics(masks, maps)", "au_pro(masks, maps, 0.3)"])
@pytest.mark.parametrize("decimals", [9, 2])
def test_a_thousand_maps_in_time_and_memory(call, decimals):
    """1,000 maps of 256 x 256: under 30 s of one core and 3 GB, inputs and Python included."""
    script = f"""
import json, time
from pathlib import Path
import numpy as np
from scipy.ndimage import gaussian_filter
from gtrans_core.evaluation.metrics import au_pro, pixel_metrics

generator = np.random.default_rng(0)
maps = np.empty((1000, 256, 256), dtype=np.float32)
masks = np.zeros(maps.shape, dtype=np.uint8)
for index, heat in enumerate(maps):
    noise = generator.standard_normal((256, 256), dtype=np.float32)
    heat[:] = gaussian_filter(noise, 4).round({decimals})
    if index % 2:
        y, x = generator.integers(0, 192, 2)
        masks[index, y:y + 64, x:x + 64] = 1
start = time.process_time()
result = {call}
seconds = time.process_time() - start
peak = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
print(json.dumps([seconds, int(peak[0].split()[1]) * 1024]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds, peak_bytes = json.loads(done.stdout)
    assert seconds < 30
    assert peak_bytes < 3e9

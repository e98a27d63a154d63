"""One training step of the default network at an input size: ``python -m`` this, SIDE."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.speed.memory import peak_bytes_so_far
from gtrans_core.config import load_config
from gtrans_core.network.backbone import agn_spec
from gtrans_core.network.build import build_trans
from gtrans_core.network.loss import guidance_loss
from gtrans_core.training.loop import make_optimizer


def prepared_step(side: int) -> Callable[[], None]:
    """What learns from one batch of the default, of images of this side; its inputs are made up."""
    config = load_config(overrides=[f"image.size={side}"])
    spec = agn_spec(config.agn)
    trans = build_trans(spec, config)
    optimizer = make_optimizer(trans, config.training)
    batch = config.training.batch_size
    inputs = spec.normalise(torch.zeros(batch, 3, side, side, dtype=torch.uint8))
    maps = [torch.rand(batch, *shape) for shape in spec.map_shapes((side, side))]

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        guidance_loss(maps, trans(inputs, maps)).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def measured(side: int) -> dict[str, Any]:
    """CPU seconds of a batch's forward, backward and optimiser, after one that warms up."""
    torch.set_num_threads(1)
    step = prepared_step(side)
    for _ in range(2):
        started = time.process_time()
        step()
        seconds = time.process_time() - started
    return {"cpu_s": seconds, "peak_bytes": peak_bytes_so_far()}


if __name__ == "__main__":
    print(json.dumps(measured(int(sys.argv[1]))))  # noqa: T201 - its answer

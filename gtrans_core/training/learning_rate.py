"""The learning rate of each training step."""

from __future__ import annotations

import math

from gtrans_core.config import TrainingConfig

WARM_UP = 0.3
"""Share of a one-cycle schedule in which the learning rate rises."""


def learning_rate(step: int, steps: int, steps_per_epoch: int, config: TrainingConfig) -> float:
    """The learning rate of a step: a pure function, so that a resumed run needs no other state.

    ``one_cycle``: cosine from peak/25 up in the first 30 %, then down to peak/250,000 (Smith,
    arXiv 1708.07120; torch's OneCycleLR). ``power``: peak · 0.9^(epoch / epochs in
    all), as the authors train.
    """
    if config.schedule == "power":
        epoch, epochs = step // steps_per_epoch, steps / steps_per_epoch
        return float(config.learning_rate * 0.9 ** (epoch / epochs))
    start, peak, end = (config.learning_rate * f for f in (1 / 25, 1.0, 1 / 250_000))
    turn = max(1.0, WARM_UP * steps - 1)
    if step <= turn:
        return _cosine(start, peak, step / turn)
    return _cosine(peak, end, (step - turn) / max(1.0, steps - 1 - turn))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2

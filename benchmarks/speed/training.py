"""Training from the cache: CPU time of an image in a step, on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.clock import side_by_side, timed
from benchmarks.speed.subject import make_scorer
from gtrans_core.config import GTransConfig
from gtrans_core.network.loss import guidance_loss

REPEATS = 4


def measure(store: Path) -> dict[str, Any]:
    """Forward, loss, backward and the optimiser's step of a batch, and one way of it alone."""
    torch.set_num_threads(1)
    config = GTransConfig()
    scorer = make_scorer(store)
    spec, trans, size = scorer.agn.spec, scorer.trans, config.image.input_size
    batch = config.training.batch_size
    views = torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8)
    with torch.no_grad():
        maps = scorer.agn(spec.normalise(views))
    optimiser = torch.optim.AdamW(trans.parameters(), config.training.learning_rate)

    def step() -> None:
        optimiser.zero_grad()
        loss = guidance_loss(maps, trans.train()(spec.normalise(views), maps))
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()

    @torch.no_grad()
    def forward() -> None:
        trans.train()(spec.normalise(views), maps)

    found = side_by_side({"step": timed(step), "forward": timed(forward)}, REPEATS, warm_up=1)
    return {
        "batch": batch,
        "step_cpu_ms_per_image": round(found["step"] / batch, 2),
        "forward_cpu_ms_per_image": round(found["forward"] / batch, 2),
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    step, forward = found["step_cpu_ms_per_image"], found["forward_cpu_ms_per_image"]
    return "\n".join(
        [
            f"| batch of {found['batch']}, one thread | CPU-ms an image |",
            "|---|---|",
            f"| a training step | {step:.1f} |",
            f"| its forward pass alone | {forward:.1f} |",
            f"| the step over the forward pass | {step / forward:.1f} |",
        ]
    )

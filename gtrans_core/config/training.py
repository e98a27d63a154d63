"""The knobs of ``[training]``, and how long a training is."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from gtrans_core.config.section import Section

Effort = Literal["fast", "standard", "best"]
STEPS: dict[Effort, int] = {"fast": 80, "standard": 640, "best": 2560}
"""Steps of the optimiser for each effort (docs/appendix/accuracy.md: what each is worth)."""
STEPS_BETWEEN_LOOKS = 40
"""A look at held-out images costs a few steps, so small categories get fewer than one an epoch."""


class TrainingConfig(Section):
    """How Trans learns from good images."""

    effort: Effort = "standard"
    """How long Trans learns: ``fast`` (80 steps, to try things out), ``standard`` (640), or
    ``best`` (2,560, for a GPU or a night).
    """
    steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Training steps, in place of ``effort``. Not set: as many as ``effort`` says."""
    epochs: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Passes over the training images, in place of ``effort``; not together with ``steps``."""
    batch_size: Annotated[int, Field(ge=2, le=1024)] = 16
    """Images that Trans learns from in each step. Fewer need less memory; results differ."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-2
    """The highest learning rate. Lower it if the loss is not finite."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 1e-4
    """How strongly each step pulls the weights towards 0 (decoupled with adamw)."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """How a step changes the weights; betas are (0.9, 0.99) for both."""
    schedule: Literal["one_cycle", "power"] = "one_cycle"
    """How the learning rate goes: ``one_cycle`` up and down, or ``power`` as the authors have it,
    lr x 0.9^(epoch / epochs in all).
    """
    held_out_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the good images that Trans does not learn from: its loss on them is watched."""
    calibration: Literal["cross_fitted", "held_out"] = "cross_fitted"
    """What sets the threshold. ``cross_fitted``: all good images, each scored by models without it.
    ``held_out``: ``held_out_fraction``, if enough. That proves the rate; more defects are missed.
    """
    light_augmentation: Literal["off", "on", "auto"] = "auto"
    """Whether scene model and patch memory learn from copies of the good images in darker and
    brighter light too, at three times the cache. ``auto``: where good images show that it helps;
    ``off``: in steady light, or where brightness itself is the defect.
    """
    selection: Literal["last", "best_held_out"] = "last"
    """Keep the last weights, or those with the lowest loss on images that Trans leaves out."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 4
    """Looks at held-out images between two checkpoints; a kill costs the work since the last."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train. ``auto``: on a GPU, if there is one."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """The numbers that the student computes with in training. ``auto``: bf16 on a GPU that has it,
    else fp32.
    """
    compile: bool = False
    """Compile the student (torch.compile), for long trainings on a GPU: it takes a minute once, and
    then steps are shorter.
    """
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    """How many GPUs share each batch, with a process for each (torchrun); it must divide
    ``batch_size``. 1 on any other machine.
    """
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """CPU threads; 0: all cores. Another number gives another result in the last bits, so a
    training is not reused.
    """
    resident_mb: Annotated[int, Field(ge=0, le=10_000_000)] = 2000
    """MB of features that a process holds in memory, at most; a category with more is read from
    disk. Lower it where memory runs out.
    """

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if self.steps is not None and self.epochs is not None:
            raise ValueError("steps and epochs are both set; leave out one of them")
        return self

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training: by ``epochs`` or ``steps`` where set, else by ``effort``."""
        if self.epochs is not None:
            return self.epochs * steps_per_epoch
        return STEPS[self.effort] if self.steps is None else self.steps

    def steps_between_looks(self, steps_per_epoch: int) -> int:
        """Steps from one look at held-out images to the next: whole epochs, 40 steps or more."""
        epochs = 1 if self.epochs is not None else math.ceil(STEPS_BETWEEN_LOOKS / steps_per_epoch)
        return epochs * steps_per_epoch

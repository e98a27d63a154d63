"""The training loop: from a feature cache to a Trans that predicts the AGN's maps.

Resumable at any step and bit-equal when resumed (CPU, same threads): the order of images is a
function of seed and epoch, the learning rate of the step; all else is in the checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gtrans_core.config import GTransConfig, TrainingConfig
from gtrans_core.errors import PreemptedError, TrainingError
from gtrans_core.features.reading import Features
from gtrans_core.network.backbone import BackboneSpec
from gtrans_core.network.build import build_trans
from gtrans_core.network.loss import guidance_loss
from gtrans_core.network.trans import Trans
from gtrans_core.storage import require_free_space
from gtrans_core.system.shortcuts import keep_freed_memory, optimizers_without_compiler
from gtrans_core.training.batches import ImageBatches, epoch_order, in_batches
from gtrans_core.training.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    room_for_checkpoints,
    save_checkpoint,
)
from gtrans_core.training.device import choose_device, choose_precision, thread_count
from gtrans_core.training.journal import TrainingJournal
from gtrans_core.training.learning_rate import learning_rate
from gtrans_core.training.processes import Crew
from gtrans_core.training.split import split_images

BETAS = (0.9, 0.99)


@dataclass(frozen=True)
class TrainingResult:
    """What a training ended with. ``resumed_at`` is None for a fresh start."""

    trans: Trans
    history: list[dict[str, Any]]
    steps: int
    resumed_at: int | None

    @property
    def reused(self) -> bool:
        """Whether nothing was left to do."""
        return self.resumed_at == self.steps


def train_trans(
    features: Features,
    spec: BackboneSpec,
    config: GTransConfig,
    folder: Path,
    *,
    on_progress: Callable[[int, int, str], None],
    say: Callable[[str], None],
    stop_requested: Callable[[], bool],
) -> TrainingResult:
    """Train, or go on where the newest intact checkpoint in ``folder`` ends.

    Args:
        features: the whole cache, in memory or streamed; a share of it is held out by ``config``.
        folder: checkpoints and ``history.jsonl``; belongs to one ``training_key``.
        on_progress: called with (steps done, steps in all, note) after each step.
        say: called with lines a person should read.
        stop_requested: asked after each step; when true, a checkpoint is written.

    Raises:
        TrainingError: when the loss is no longer finite, or the split leaves a side empty.
        DataError: when features are streamed and a shard was damaged meanwhile.
        PreemptedError: after ``stop_requested`` said so; the same call goes on later.
        StorageError: when a checkpoint cannot be written; before the first step, when there is no
            room for as many as are kept.
    """
    torch.set_num_threads(thread_count(config.training))
    keep_freed_memory()
    # A compiled training needs the compiler, and so does one of several processes.
    alone = Crew.of_this_process().count == 1 and not config.training.compile
    with optimizers_without_compiler() if alone else nullcontext():
        loop = _Loop(features, spec, config, choose_device(config.training))
        resumed_at, history = _run(loop, folder, on_progress, say, stop_requested)
    return TrainingResult(loop.selected(), history.records(), loop.steps, resumed_at)


def _run(
    loop: _Loop,
    folder: Path,
    on_progress: Callable[[int, int, str], None],
    say: Callable[[str], None],
    stop_requested: Callable[[], bool],
) -> tuple[int | None, TrainingJournal]:
    """All steps that are left; gives the step that they went on from."""
    history = TrainingJournal(folder / "history.jsonl", say)
    checkpoint = newest_checkpoint(folder, say)
    if checkpoint is not None:
        loop.restore(checkpoint)
        say(f"going on from the checkpoint at step {checkpoint.step} of {loop.steps}")
    if loop.step < loop.steps:
        require_free_space(folder, room_for_checkpoints(folder, loop.state_bytes), "training")
    while loop.step < loop.steps:
        note = loop.advance()
        on_progress(loop.step, loop.steps, note)
        stopping = loop.crew.any(stop_requested(), loop.device)
        if loop.crew.leads and (stopping or loop.checkpoint_is_due()):
            loop.journal(history)
            save_checkpoint(folder, loop.checkpoint())
        if stopping and loop.step < loop.steps:
            raise PreemptedError(f"stopped at step {loop.step} of {loop.steps}; state is saved")
    return checkpoint.step if checkpoint else None, history


class _Loop:
    """The state of a training between two steps."""

    def __init__(
        self,
        features: Features,
        spec: BackboneSpec,
        config: GTransConfig,
        device: torch.device,
    ) -> None:
        split = split_images(features.digests, config)
        self.config = config.training
        self.author_compat = config.research.author_compat
        self.seed = config.seed
        self.device = device
        self.crew = Crew.of_this_process()
        self.precision = choose_precision(self.config, device)
        self.images = ImageBatches(features, split.training, spec, device)
        self.watched = ImageBatches(features, split.watched, spec, device)
        self.trans = build_trans(spec, config).to(device)
        self.model = self.crew.synchronised(self.trans, device)
        if self.config.compile:
            self.model.compile()
        self.optimizer = make_optimizer(self.trans, self.config)
        self.batch_size = min(self.config.batch_size, len(self.images))
        # A short last batch is left out: each epoch shuffles, so no image is left out for good.
        self.steps_per_epoch = len(self.images) // self.batch_size
        self.steps = self.config.total_steps(self.steps_per_epoch)
        self.steps_between_looks = self.config.steps_between_looks(self.steps_per_epoch)
        self.step = 0
        self.pending: list[tuple[int, dict[str, Tensor | float]]] = []
        self.best_loss = math.inf
        self.best_state: dict[str, Tensor] = {}

    def advance(self) -> str:
        """One optimiser step; now and then also the loss on held-out good images."""
        epoch = self.step // self.steps_per_epoch
        inputs, agn_maps = self.images.batch(self._order(self.step))
        if self.step + 1 < self.steps:
            self.images.read_ahead(self._order(self.step + 1))
        rate = learning_rate(self.step, self.steps, self.steps_per_epoch, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # The authors' code never returns from the eval mode of its first validation.
        self.model.train(epoch == 0 or not self.author_compat)
        loss = self._loss(inputs, agn_maps)
        # It also sums over the batch: Adam hardly minds, but weight decay weighs less.
        objective = loss * self.batch_size if self.author_compat else loss
        self.optimizer.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.optimizer.step()
        self.step += 1
        values: dict[str, Tensor | float] = {"train_loss": loss.detach(), "learning_rate": rate}
        if self.crew.leads and self._looks() and len(self.watched):
            values["held_out_loss"] = self._held_out_loss()
        if self.crew.leads:
            self.pending.append((self.step, values))
        return f"epoch {epoch + 1} of {math.ceil(self.steps / self.steps_per_epoch)}"

    def _looks(self) -> bool:
        return self.step % self.steps_between_looks == 0 or self.step == self.steps

    def checkpoint_is_due(self) -> bool:
        """After every few looks at held-out images, and at the end."""
        every = self.steps_between_looks * self.config.checkpoint_every
        return self.step % every == 0 or self.step == self.steps

    def journal(self, history: TrainingJournal) -> None:
        """Write pending records; reading losses here, not each step, keeps a GPU busy.

        Raises:
            TrainingError: when a loss is not finite.
        """
        for step, values in self.pending:
            numbers = {name: float(value) for name, value in values.items()}
            if not all(math.isfinite(number) for number in numbers.values()):
                raise TrainingError(
                    f"the loss is not finite at step {step}; lower training.learning_rate"
                )
            history.append(step, numbers)
        self.pending.clear()
        history.sync()

    def checkpoint(self) -> Checkpoint:
        """Everything that a later process needs to go on."""
        tensors = {f"trans.{name}": tensor for name, tensor in self.trans.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_state.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        best = self.best_loss if self.best_state else None
        return Checkpoint(self.step, tensors, {"best_loss": best})

    @property
    def state_bytes(self) -> int:
        """About the size of a checkpoint: weights, two moments each, and the best weights."""
        weights: int = sum(tensor.nbytes for tensor in self.trans.state_dict().values())
        return weights * (4 if self.config.selection == "best_held_out" else 3)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go on from a checkpoint of the same training."""
        self.step = checkpoint.step
        self.trans.load_state_dict(_with_prefix(checkpoint.tensors, "trans."))
        self.best_state = _with_prefix(checkpoint.tensors, "best.")
        if self.best_state:
            self.best_loss = checkpoint.values["best_loss"]
        weights = list(self.trans.parameters())
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _with_prefix(checkpoint.tensors, "optimizer.").items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = _laid_out_as(weights[int(index)], tensor)
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

    def selected(self) -> Trans:
        """The Trans to keep: the last state, or the best on held-out good images; in eval mode."""
        if self.best_state:
            self.trans.load_state_dict(self.best_state)
        return self.trans.eval()

    def _order(self, step: int) -> Tensor:
        """This process's images of a step's batch, which is a slice of the epoch's permutation."""
        epoch, position = divmod(step, self.steps_per_epoch)
        permutation = epoch_order(len(self.images), self.seed, epoch)
        batch = permutation[position * self.batch_size : (position + 1) * self.batch_size]
        return self.crew.share(batch)

    def _loss(self, inputs: Tensor, agn_maps: list[Tensor]) -> Tensor:
        # Only the leader looks at held-out images, so no gradient is shared there.
        model = self.model if torch.is_grad_enabled() else self.trans
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision != torch.float32
        ):
            predicted = model(inputs, agn_maps)
        return guidance_loss(agn_maps, [map_BCHW.float() for map_BCHW in predicted])

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        self.trans.eval()
        total = 0.0
        for batch in in_batches(len(self.watched), self.batch_size):
            total += float(self._loss(*self.watched.batch(batch))) * len(batch)
        mean = total / len(self.watched)
        if self.config.selection == "best_held_out" and mean < self.best_loss:
            self.best_loss = mean
            self.best_state = {k: v.clone() for k, v in self.trans.state_dict().items()}
        return mean


def make_optimizer(trans: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """The optimiser that a config names."""
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(
        trans.parameters(),
        lr=config.learning_rate,
        betas=BETAS,
        weight_decay=config.weight_decay,
        fused=True,
    )


def _laid_out_as(weight: Tensor, moment: Tensor) -> Tensor:
    """A moment in its weight's memory format: the fused optimiser walks raw memory.

    A file has no memory format; a moment read back would meet the wrong elements of its weight.
    """
    if moment.shape != weight.shape:  # the step counter
        return moment
    return torch.empty_like(weight, requires_grad=False).copy_(moment)


def _with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

"""Processes that train one category together, each on its own GPU or share of the CPU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from gtrans_core.errors import TrainingError


@dataclass(frozen=True)
class Crew:
    """This process's place among those that train together; alone by default.

    Attributes:
        rank: 0 leads: it alone writes checkpoints and history.
        count: of processes.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_this_process(cls) -> Crew:
        """The process group that ``torch.distributed`` was initialised with, if any."""
        if not distributed.is_initialized():
            return cls()
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def any(self, said: bool, device: torch.device) -> bool:
        """Whether any process says so; every process must call this."""
        if self.count == 1:
            return said
        votes = torch.tensor(int(said), device=device)
        distributed.all_reduce(votes, op=distributed.ReduceOp.MAX)
        return bool(votes)

    def share(self, batch: Tensor) -> Tensor:
        """This process's part of a batch's positions; the parts are of equal size.

        Raises:
            TrainingError: when they cannot be.
        """
        if len(batch) % self.count:
            raise TrainingError(
                f"batches of {len(batch)} images cannot be shared by {self.count} processes; make "
                "training.batch_size a multiple of training.processes"
            )
        return batch[self.rank :: self.count]

    def synchronised(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module, with gradients that are the mean over the crew.

        Statistics of batch norm are those of the leader's own part of each batch.
        """
        if self.count == 1:
            return module
        return DistributedDataParallel(module, [device] if device.type == "cuda" else None)

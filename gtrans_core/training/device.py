"""Where a training runs, and in which precision."""

from __future__ import annotations

import os

import torch

from gtrans_core.config import TrainingConfig
from gtrans_core.errors import TrainingError


def choose_device(config: TrainingConfig) -> torch.device:
    """The device to train on; of several GPUs, the one that ``LOCAL_RANK`` (torchrun) says.

    Raises:
        TrainingError: when CUDA is asked for and there is none, or fewer GPUs than processes.
    """
    available = torch.cuda.is_available()
    if config.device == "cuda" and not available:
        raise TrainingError("training.device is cuda, but no CUDA device is visible; use auto")
    if not available or config.device == "cpu":
        return torch.device("cpu")
    if config.processes > torch.cuda.device_count():
        raise TrainingError(
            f"training.processes is {config.processes}, but {torch.cuda.device_count()} GPUs are "
            "visible; each process needs one of its own"
        )
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def choose_precision(config: TrainingConfig, device: torch.device) -> torch.dtype:
    """What the student computes in; its weights, the loss and all scoring stay fp32.

    ``auto`` is bf16 on GPUs that have it. On CPUs it is fp32: there bf16 took 1.8 times as long.
    """
    if config.precision == "auto":
        halved = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if halved else torch.float32
    return torch.bfloat16 if config.precision == "bf16" else torch.float32


def thread_count(config: TrainingConfig) -> int:
    """CPU threads of each process."""
    threads = config.threads or len(os.sched_getaffinity(0))
    return max(1, threads // config.processes)

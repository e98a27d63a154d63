"""Two real processes (torchrun, gloo) train one category."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gtrans_core.config import GTransConfig
from gtrans_core.errors import PreemptedError, TrainingError
from gtrans_core.network.agn import state_sha256
from gtrans_core.training.checkpoint import newest_checkpoint
from gtrans_core.training.train_together import train_together

pytestmark = pytest.mark.slow
MEAN_GRADIENT = """
import torch
from torch import distributed, nn
from gtrans_core.training.processes import Crew
distributed.init_process_group("gloo")
crew, cpu = Crew.of_this_process(), torch.device("cpu")
torch.manual_seed(0)
inputs, alone = torch.randn(8, 3), nn.Linear(3, 1)
alone(inputs).square().mean().backward()
wanted = alone.weight.grad.clone()
alone.zero_grad()
together = crew.synchronised(alone, cpu)
together(inputs[crew.share(torch.arange(8))]).square().mean().backward()
torch.testing.assert_close(alone.weight.grad, wanted)
assert crew.any(crew.rank == 1, cpu) and not crew.any(False, cpu)
distributed.destroy_process_group()
"""


@pytest.fixture
def config(tiny_config: Callable[..., GTransConfig]) -> GTransConfig:
    return tiny_config(
        "training.processes=2", "training.batch_size=4", "training.epochs=3", "training.threads=2"
    )


def never() -> bool:
    return False


def weights(folder: Path) -> str:
    checkpoint = newest_checkpoint(folder, print)
    assert checkpoint is not None
    return state_sha256(checkpoint.tensors)


def test_gradients_are_those_of_the_whole_batch(tmp_path: Path):
    script = tmp_path / "member.py"
    script.write_text(MEAN_GRADIENT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run([*torchrun, "--nproc-per-node=2", str(script)], check=True, timeout=120)


def test_bit_equal_again_and_after_a_stop(tiny_cache, config: GTransConfig, tmp_path: Path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert train_together(tiny_cache.folder, config, whole, never) is None
    asked = itertools.count()
    began = lambda: next(asked) > 0 and (stopped / "history.jsonl").exists()  # noqa: E731
    one_epoch = config.model_copy(
        update={"training": config.training.model_copy(update={"checkpoint_every": 1})}
    )
    try:
        train_together(tiny_cache.folder, one_epoch, stopped, began)
    except PreemptedError:
        assert train_together(tiny_cache.folder, one_epoch, stopped, never) is not None
    assert weights(stopped) == weights(whole)


def test_the_reason_of_a_failed_process_is_given(tiny_cache, config: GTransConfig, tmp_path: Path):
    odd = config.model_copy(
        update={"training": config.training.model_copy(update={"batch_size": 3})}
    )
    with pytest.raises(TrainingError, match="batches of 3 images cannot be shared by 2 processes"):
        train_together(tiny_cache.folder, odd, tmp_path, never)

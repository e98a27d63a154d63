"""``author_compat``: the authors' training, held to a plain loop; off, nothing of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from gtrans_core.config import GTransConfig
from gtrans_core.features.cache import CachedFeatures, load_cache
from gtrans_core.network.agn import state_sha256
from gtrans_core.network.build import build_trans
from gtrans_core.network.trans import Trans
from gtrans_core.training.loop import BETAS, TrainingResult, train_trans
from gtrans_core.training.split import hold_out

WHOLE_BATCH = (
    "research.author_compat=true",
    "training.learning_rate=1e-3",
    "training.batch_size=9",  # all images: the order does not matter
    "training.epochs=3",
    "training.optimizer=adam",
    "training.schedule=power",
    "training.weight_decay=0.1",
)


@pytest.fixture(scope="module")
def features(tiny_cache) -> CachedFeatures:
    return load_cache(tiny_cache.folder)


@pytest.fixture
def train(tiny_cache, features: CachedFeatures, tmp_path: Path) -> Callable[..., TrainingResult]:
    def run(config: GTransConfig, name: str = "training") -> TrainingResult:
        return train_trans(
            features,
            tiny_cache.spec,
            config,
            tmp_path / name,
            on_progress=lambda done, total, note: None,
            say=lambda line: None,
            stop_requested=lambda: False,
        )

    return run


def summed_loss(agn_maps: list[Tensor], trans_maps: list[Tensor]) -> Tensor:
    """The authors': mean over scales and pixels of half the squared distance, sum over images."""
    total = torch.zeros(())
    for a, f in zip(agn_maps, trans_maps, strict=True):
        squared = (normalize(a, dim=1) - normalize(f, dim=1)).square().sum(dim=1)
        total = total + 0.5 * squared.mean(dim=(1, 2)).sum() / 3
    return total


def released(config: GTransConfig, tiny_cache, features: CachedFeatures) -> Trans:
    """The released loop, plainly: train mode in epoch 1 and eval mode after it."""
    training, _ = hold_out(features.digests, 0.2, config.seed)
    images = features.subset(training)
    inputs, maps = tiny_cache.spec.normalise(images.views), [m.float() for m in images.maps]
    trans = build_trans(tiny_cache.spec, config).train()
    optimizer = torch.optim.Adam(trans.parameters(), betas=BETAS, weight_decay=0.1)
    for epoch in range(config.training.epochs):
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.9 ** (epoch / config.training.epochs)
        optimizer.zero_grad()
        summed_loss(maps, trans(inputs, maps)).backward()
        optimizer.step()
        trans.eval()
    return trans


def distance(one: nn.Module, other: nn.Module) -> float:
    """Mean difference of all parameters, in steps of the learning rate."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    differences = torch.cat([(a - b).detach().abs().flatten() for a, b in pairs])
    return float(differences.mean()) / 1e-3


def test_it_trains_as_the_released_loop(train, tiny_config, tiny_cache, features) -> None:
    """Sum over the batch, train mode in epoch 1 only; each alone would show."""
    config = tiny_config(*WHOLE_BATCH)
    expected = released(config, tiny_cache, features)
    result = train(config)
    assert distance(result.trans, expected) < 0.02
    for name, buffer in result.trans.named_buffers():
        torch.testing.assert_close(buffer, expected.get_buffer(name), rtol=1e-3, atol=1e-4)
    clean = train(tiny_config(*WHOLE_BATCH, "research.author_compat=false"), "clean")
    assert distance(clean.trans, expected) > 0.1


def test_the_students_statistics_stand_still_after_epoch_1(train, tiny_config) -> None:
    """And its weights do not."""
    compat = ("research.author_compat=true", "training.schedule=power")
    short = train(tiny_config(*compat, "training.epochs=1"), "short")
    long = train(tiny_config(*compat), "long")
    before, after = dict(short.trans.named_buffers()), dict(long.trans.named_buffers())
    assert before
    assert all(torch.equal(before[name], after[name]) for name in before)
    counts = {int(v) for name, v in after.items() if name.endswith("num_batches_tracked")}
    assert counts == {2}
    assert distance(short.trans, long.trans) > 0.1


def test_the_journal_holds_the_mean_loss_in_both_modes(train, tiny_config) -> None:
    """Losses of runs stay comparable; only what is minimised is the sum."""
    one = train(tiny_config(), "clean").history[0]["values"]["train_loss"]
    two = train(tiny_config("research.author_compat=true"), "compat").history[0]["values"]
    assert two["train_loss"] == one


def test_off_is_the_default_and_changes_nothing(train, tiny_config) -> None:
    off = train(tiny_config("research.author_compat=false"), "off").trans.state_dict()
    assert state_sha256(train(tiny_config(), "default").trans.state_dict()) == state_sha256(off)

"""``author_compat`` for the guide: its BatchNorm drifts in epoch 1, as in the released code.

There, one ``train()`` call reaches the guide, and epoch 1 moves its statistics; it is fixed from
then on. Here the guide drifts before its features are cached. One difference stays: epoch 1 is
trained on the drifted guide's maps, not on those of a guide that is still drifting.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gtrans_core.config import GTransConfig, digest_of
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache import read_views, unique_samples
from gtrans_core.network.agn import Agn, let_drift
from gtrans_core.training.loop import epoch_order, hold_out


def as_released(agn: Agn, config: GTransConfig, train: Manifest) -> None:
    """With ``author_compat``, let the guide drift over epoch 1; without it, leave it alone.

    Raises:
        DataError: when a training image is gone or changed.
        TrainingError: when the split leaves a side empty.
    """
    if config.training.author_compat:
        let_drift(agn, _first_epoch(config, train))


def drift_identity(config: GTransConfig) -> str:
    """What decides the drift besides the images and the weights; ``""`` for a clean guide."""
    if not config.training.author_compat:
        return ""
    return digest_of(
        {
            "seed": config.seed,
            "batch_size": config.training.batch_size,
            "held_out_fraction": config.training.held_out_fraction,
        }
    )


def _first_epoch(config: GTransConfig, train: Manifest) -> Iterator[Tensor]:
    """The views that training sees in epoch 1, batch by batch: the same images, the same order."""
    samples = list(unique_samples(train))
    digests = [sample.sha256 for sample in samples]
    training, _ = hold_out(digests, config.training.held_out_fraction, config.seed)
    order = epoch_order(len(training), config.seed, epoch=0).tolist()
    size = min(config.training.batch_size, len(training))
    for start in range(0, len(order) - size + 1, size):
        batch = [samples[training[position]] for position in order[start : start + size]]
        yield read_views(train, batch, config.image)

"""``author_compat`` for the guide: epoch 1 moves its BatchNorm statistics, as in the authors' code.

There, one ``train()`` call reaches the guide, and epoch 1 moves its statistics; it is fixed from
then on. Here the statistics are moved before the guide's features are cached. One difference stays:
epoch 1 is trained on the maps of the moved guide, not on those of a guide that is still moving.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from gtrans_core.config import GTransConfig, digest_of
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache import read_views
from gtrans_core.features.cache_index import unique_samples
from gtrans_core.network.agn import Agn, move_statistics
from gtrans_core.training.batches import epoch_order
from gtrans_core.training.split import hold_out


def apply_author_compat(agn: Agn, config: GTransConfig, train: Manifest) -> None:
    """With ``author_compat``, move the guide's statistics as epoch 1 does; else leave it alone.

    Raises:
        DataError: when a training image is gone or changed.
        TrainingError: when the split leaves a side empty.
    """
    if config.research.author_compat:
        move_statistics(agn, _first_epoch(config, train))


def author_compat_identity(config: GTransConfig) -> str:
    """What decides the moved statistics besides images and weights; ``""`` for a clean guide."""
    if not config.research.author_compat:
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

"""GTrans beside its peers: ``python -m benchmarks.accuracy.compare --data DIR ...``.

Same images to learn from, same test images, same weights, input size and metric code.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy.ablate import SCORINGS, same_shape
from benchmarks.accuracy.command import Unit, benchmark_command
from benchmarks.accuracy.gtrans import run_gtrans
from benchmarks.accuracy.measure import Row, measured
from benchmarks.accuracy.splits import Category
from benchmarks.peers.contract import PEERS, PeerResult
from benchmarks.peers.nearest_neighbour import run_nearest_neighbour
from benchmarks.peers.peers import run_peer
from gtrans_core.config import GTransConfig

PUBLISHED = {"GTrans as published": SCORINGS["GTrans alone, product"]}
RUN = ("padim", "padim_deep", "patchcore_1", "patchcore", "stfpm")
"""The peers that are run; ``contract.UNAVAILABLE`` says why others are not."""


def ours(category: Category, seed: int, store: Path) -> list[Row]:
    """GTrans as it comes."""
    return run_gtrans(category, GTransConfig(seed=seed), {"GTrans": SCORINGS["default"]}, store)


def as_published(category: Category, seed: int, store: Path) -> list[Row]:
    """A student of the AGN's shape, the paper's learning rate, no scene model, on our taps."""
    return run_gtrans(category, same_shape(seed), PUBLISHED, store)


def nearest(category: Category, seed: int, store: Path) -> list[Row]:
    """The frozen-feature baseline."""
    training, test = category.training_paths(seed), category.test_paths
    result = run_nearest_neighbour(training, test, seed, store / "nearest")
    return [_row(category, seed, "nearest neighbour, 10 % of patches", result)]


def anomalib(peer: str) -> Unit:
    """A peer in its own environment."""

    def run(category: Category, seed: int, store: Path) -> list[Row]:
        work = store / "peers" / f"{category.name}-{seed}-{peer}"
        result = run_peer(peer, category.training_paths(seed), category.test_paths, seed, work)
        return [_row(category, seed, PEERS[peer], result)]

    return run


def _row(category: Category, seed: int, method: str, result: PeerResult) -> Row:
    masks = category.test_masks(GTransConfig(seed=seed))
    metrics = measured(category.labels, masks, result.maps, result.scores)
    return Row(method, category.name, seed, metrics, dict(result.facts))


if __name__ == "__main__":
    benchmark_command(
        {"GTrans": ours, "GTrans as published": as_published, "nearest": nearest}
        | {peer: anomalib(peer) for peer in RUN},
        "peers",
    )

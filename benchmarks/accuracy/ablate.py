"""What is each part of GTrans worth: ``python -m benchmarks.accuracy.ablate --data DIR ...``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy.command import Unit, benchmark_command
from benchmarks.accuracy.gtrans import run_gtrans
from benchmarks.accuracy.measure import Row
from benchmarks.accuracy.splits import Category
from gtrans_core.config import SAME_AS_AGN, GTransConfig, ResearchConfig, ScoringConfig

DEFAULT = GTransConfig()
PRODUCT = ResearchConfig(fusion="product")
PUBLISHED = {"scene_share": 0, "top_percent": 1}
"""Of the knobs of ``scoring``."""


def scored(research: ResearchConfig = DEFAULT.research, **scoring: Any) -> GTransConfig:
    """A way to score: the default with other knobs of ``scoring`` and ``research``."""
    return GTransConfig(scoring=ScoringConfig(**scoring), research=research)


SCORINGS = {
    "default": DEFAULT,
    "scene model alone": scored(scene_share=1, memory_share=0),
    "scene model and memory, without Trans": scored(scene_share=1),
    "Trans and memory, without scene model": scored(scene_share=0),
    "default, without memory": scored(memory_share=0),
    "default, memory share 0.3": scored(memory_share=0.3),
    "default, memory share 0.6": scored(memory_share=0.6),
    "default, Trans read from all maps": scored(trans_maps=0),
    "default, scene share 0.4": scored(scene_share=0.4),
    "default, scene share 0.6": scored(scene_share=0.6),
    "default, scene share 0.8": scored(scene_share=0.8),
    "GTrans alone, geometric mean": scored(scene_share=0, memory_share=0),
    "GTrans alone, product": scored(PRODUCT, **PUBLISHED),
    "GTrans alone, product, image weights": scored(
        ResearchConfig(fusion="product", map_weights="image"), **PUBLISHED
    ),
    "GTrans alone, sum": scored(ResearchConfig(fusion="sum"), **PUBLISHED),
    "GTrans alone, product, max": scored(PRODUCT, **PUBLISHED, image_score="max"),
    "default, top 1 %": scored(top_percent=1),
    "default, unusual places weigh more": scored(place_exponent=0.5),
    "default, score from all maps": scored(image_maps=0),
    "default before": scored(scene_share=0.9, trans_maps=0),
    "default, top 3 %": scored(top_percent=3),
    "default, max": scored(image_score="max"),
}
"""Ways to score one and the same network."""
SAME_SHAPE: dict[str, dict[str, object]] = {"trans": {"backbone": SAME_AS_AGN}}
NETWORKS: dict[str, dict[str, dict[str, object]]] = {
    "student of the AGN's shape": SAME_SHAPE,
    "student of the AGN's shape, lr 1e-3": SAME_SHAPE | {"training": {"learning_rate": 1e-3}},
    "student CNN alone (STFPM)": {"research": {"guidance": "none"}},
    "student tokens as queries": {"research": {"guidance": "student"}},
    "centre crop 224": {"image": {"crop": 224}},
    "bf16 training": {"training": {"precision": "bf16"}},
}
"""Changes of the network or its input; each is a training of its own."""


def same_shape(seed: int) -> GTransConfig:
    """A student of the AGN's shape that learns at the paper's rate."""
    changes = NETWORKS["student of the AGN's shape, lr 1e-3"]
    return GTransConfig.model_validate({"seed": seed, **changes})


def full_network(category: Category, seed: int, store: Path) -> list[Row]:
    """The product's network, scored in every way."""
    best = "default, best held-out epoch"
    return run_gtrans(category, GTransConfig(seed=seed), SCORINGS, store, best_epoch=best)


def changed_network(name: str) -> Unit:
    """A network with one change, scored by default and without the scene model."""
    scorings = {
        f"{name}, default": DEFAULT,
        f"{name}, without scene model": SCORINGS["GTrans alone, product"],
    }

    def run(category: Category, seed: int, store: Path) -> list[Row]:
        config = GTransConfig.model_validate({"seed": seed, **NETWORKS[name]})
        return run_gtrans(category, config, scorings, store)

    return run


if __name__ == "__main__":
    benchmark_command(
        {"full network": full_network} | {name: changed_network(name) for name in NETWORKS},
        "ablation",
    )

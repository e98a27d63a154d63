"""Tiles beside a whole picture of as many pixels: ``python -m benchmarks.tiles --data DIR ...``.

Without Trans, which has no part in an image's score: the scene model and the patch memory are
fitted as in a run, and torch scores the test images one by one.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.accuracy.closed_form import closed_form_scorer
from benchmarks.accuracy.measure import Row, measured, read_rows, write_rows
from benchmarks.accuracy.splits import Category
from benchmarks.accuracy.table import method_table
from benchmarks.tiles.fabric import draw_fabric
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.reading import read_mask
from gtrans_core.evaluation.metrics import roc_auc
from gtrans_core.features.weights import load_guide
from gtrans_core.network.scorer import Scorer
from gtrans_core.storage import write_atomic
from gtrans_core.training.split import split_images

RESULTS = Path("benchmarks/results")
SIDE = "image.size=256"
WAYS = {
    "squeezed to 256 x 256": (SIDE,),
    "2 x 2 tiles of 256 x 256": (SIDE, "image.tiles=[2, 2]"),
    "480 x 480 without tiles": ("image.size=480",),
}
FABRIC_WAYS = {
    "squeezed to 256 x 256": (SIDE,),
    "5 x 5 tiles of 256 x 256": (SIDE, "image.tiles=[5, 5]"),
    "9 x 9 tiles of 256 x 256": (SIDE, "image.tiles=[9, 9]"),  # every pixel of 2,048
}
FABRIC_TRAIN, FABRIC_TEST = 20, 12
BINS = 4
"""Equal shares of the defective images, by the pixels of their masks, the smallest first."""


def main(
    data: Annotated[list[Path] | None, typer.Option(help="Category folders.")] = None,
    fabric: Annotated[int, typer.Option(help="Side of the demo's fabric, drawn; 0: none.")] = 0,
    seeds: Annotated[str, typer.Option(help="Seeds, comma-separated.")] = "0,1,2",
    store: Annotated[Path, typer.Option(help="Caches and drawings.")] = Path("gtrans-store"),
    results: Annotated[Path, typer.Option(help="Where the table goes.")] = RESULTS,
) -> None:
    """Measure what the results do not have yet, and show the table."""
    torch.set_num_threads(1)
    store = store / "benchmarks"
    rows = read_rows(results / "tiles.json")
    done = {(row.category, row.method, row.seed) for row in rows}
    todo = [(folder, WAYS) for folder in data or []]
    if fabric:
        todo.append((draw_fabric(store, fabric, FABRIC_TRAIN, FABRIC_TEST), FABRIC_WAYS))
    for folder, ways in todo:
        category = Category.read(folder)
        for seed in map(int, seeds.split(",")):
            for method, knobs in ways.items():
                if (category.name, method, seed) not in done:
                    rows.append(_measure(category, method, knobs, seed, store))
                    write_rows(results / "tiles.json", rows)
                    write_atomic(results / "tiles.md", render(rows).encode())
    typer.echo(render(rows))


def _measure(
    category: Category, method: str, knobs: tuple[str, ...], seed: int, store: Path
) -> Row:
    overrides = (f"seed={seed}", "scoring.scene_share=1", "training.threads=1", *knobs)
    config = category.train.settled(load_config(overrides=overrides))
    guide = load_guide(config.agn, store / "weights")
    features, _ = category.features(store / "cache", guide, config)
    fitted = split_images(features.digests, config).fitted
    scorer = closed_form_scorer(guide, features, fitted, config)
    maps, scores, seconds = _scored(category, scorer, config)
    labels = category.labels
    metrics = measured(labels, category.test_masks(config), maps, scores)
    sizes = defect_sizes(category)
    metrics |= by_size(labels, scores, sizes)
    facts = {
        "cpu_ms": round(1000 * median(seconds)),
        "fitted": len(fitted),
        "largest_of_bin": [int(size) for size in _limits(sizes[labels])[1:]],
    }
    return Row(method, category.name, seed, metrics, facts)


def _scored(
    category: Category, scorer: Scorer, config: GTransConfig
) -> tuple[np.ndarray, np.ndarray, list[float]]:
    """Heat maps, scores, and CPU-seconds of each test image (torch, one thread)."""
    views = category.test_views(config)
    maps = np.empty((len(views), *views.shape[2:]), np.float32)
    scores, seconds = np.empty(len(views)), []
    for i, view in enumerate(views):
        started = time.process_time()
        maps[i], scores[i] = scorer.score_view(view)
        seconds.append(time.process_time() - started)
    return maps, scores, seconds


def defect_sizes(category: Category) -> np.ndarray:
    """Defective pixels of each test image's file, in content order."""
    masks = (read_mask(category.test, sample) for sample in category.test.in_content_order())
    return np.array([0 if mask is None else int(mask.sum()) for mask in masks])


def by_size(labels: np.ndarray, scores: np.ndarray, sizes: np.ndarray) -> dict[str, float]:
    """Image AUROC of each bin of defective images against all good ones, the smallest first."""
    limits = _limits(sizes[labels])
    of_bin = np.clip(np.searchsorted(limits, sizes, "left"), 1, BINS)
    return {
        f"image_auroc_bin_{number}": roc_auc(labels[kept], scores[kept])
        for number in range(1, BINS + 1)
        if (kept := ~labels | (of_bin == number))[labels].any()
    }


def _limits(sizes: np.ndarray) -> np.ndarray:
    """Between which sizes the bins lie [BINS + 1]."""
    limits: np.ndarray = np.quantile(sizes, np.linspace(0, 1, BINS + 1))
    return limits


def render(rows: list[Row]) -> str:
    """A table a category: mean and standard deviation over seeds."""
    tables = []
    for category in dict.fromkeys(row.category for row in rows):
        own = [row for row in rows if row.category == category]
        largest = enumerate(own[0].facts["largest_of_bin"], start=1)
        bins = {f"image_auroc_bin_{n}": f"defects up to {size:,} px" for n, size in largest}
        columns = {"image_auroc": "image AUROC", **bins, "pixel_ap": "pixel AP"}
        columns["au_pro_30"] = "AU-PRO@0.3"
        title = f"**{category}**, image AUROC by size in four bins of as many images"
        tables.append(method_table(title, own, columns, {"cpu_ms": "CPU-ms a part"}))
    return "\n\n".join(tables) + "\n"


if __name__ == "__main__":
    typer.run(main)

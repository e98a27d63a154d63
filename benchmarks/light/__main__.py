"""Other light with and without an even exposure: ``python -m benchmarks.light --data DIR ...``.

Without Trans, which has no part in an image's score: the scene model and the patch memory are
fitted as in a run, a fifth of the good images sets the threshold, and torch scores the test images.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.accuracy.closed_form import closed_form_scorer
from benchmarks.accuracy.splits import Category
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.images import decode_view
from gtrans_core.data.reading import read_image
from gtrans_core.data.view import as_seen
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.evaluation.metrics import roc_auc
from gtrans_core.evaluation.perturbations import brightness
from gtrans_core.features.cache import tile_positions
from gtrans_core.features.weights import load_guide
from gtrans_core.storage import write_atomic
from gtrans_core.training.split import hold_out

RESULTS = Path("benchmarks/results/light.json")
WAYS = ("as_taken", "even")
LIGHT = {"as it is": 1.0, "25 % darker": 0.75, "25 % brighter": 1.25}


def main(
    data: Annotated[list[Path], typer.Option(help="Category folders in MVTec layout.")],
    seed: Annotated[int, typer.Option(help="Of who is held out, and of the draws.")] = 0,
    store: Annotated[Path, typer.Option(help="Weights and caches.")] = Path("gtrans-store"),
    results: Annotated[Path, typer.Option(help="Where the numbers go.")] = RESULTS,
) -> None:
    """Measure what the results do not have yet, and show the table."""
    torch.set_num_threads(1)
    rows = json.loads(results.read_bytes()) if results.is_file() else []
    done = {(row["category"], row["exposure"], row["seed"]) for row in rows}
    for folder in data:
        category = Category.read(folder)
        for exposure in WAYS:
            if (category.name, exposure, seed) not in done:
                rows.append(_measure(category, exposure, seed, store / "benchmarks"))
                write_atomic(results, json.dumps(rows, indent=1).encode())
    typer.echo(render(rows))


def _measure(category: Category, exposure: str, seed: int, store: Path) -> dict[str, Any]:
    knobs = [f"image.exposure={exposure}", f"seed={seed}", "scoring.scene_share=1"]
    config = category.train.settled(load_config(overrides=knobs))
    guide = load_guide(config.agn, store / "weights")
    features, _ = category.features(store / "cache", guide, config)
    digests, tiles = features.digests, features.tiles
    fitted, held_out = hold_out(digests, config.training.held_out_fraction, seed)
    scorer = closed_form_scorer(guide, features, fitted, config)
    good = [
        scorer.score_view(
            scorer.tiling.paste(features.subset(tile_positions([i], tiles)).views).numpy()
        )[1]
        for i in held_out
    ]
    threshold, promised = promised_threshold(good, config.evaluation.false_alarm_rate)
    scores = {
        name: np.array([scorer.score_view(view)[1] for view in _views(category, config, factor)])
        for name, factor in LIGHT.items()
    }
    labels = category.labels
    flagged = {name: int((found[~labels] > threshold).sum()) for name, found in scores.items()}
    missed = {name: int((found[labels] <= threshold).sum()) for name, found in scores.items()}
    return {
        "category": category.name,
        "exposure": exposure,
        "seed": seed,
        "image_auroc": roc_auc(labels, scores["as it is"]),
        "promised": promised,
        "good": int((~labels).sum()),
        "defective": int(labels.sum()),
        "flagged": flagged,
        "missed": missed,
    }


def _views(category: Category, config: GTransConfig, factor: float) -> list[np.ndarray]:
    """What the network sees of the test images in this light, in content order."""
    as_taken = config.image.model_copy(update={"exposure": "as_taken"})
    return [
        as_seen(
            brightness(decode_view(read_image(category.test, s), s.path, as_taken), factor),
            config.image,
        )
        for s in category.test.in_content_order()
    ]


def render(rows: list[dict[str, Any]]) -> str:
    """A line a category and way, then the means over the categories that have both."""
    heads = ["image AUROC", *(f"false alarms, {name}" for name in LIGHT), "misses as it is"]
    lines = [
        f"| category | image.exposure | {' | '.join(heads)} |",
        f"|---|---|{'---|' * len(heads)}",
    ]
    for row in rows:
        alarms = [f"{row['flagged'][name]} of {row['good']}" for name in LIGHT]
        misses = f"{row['missed']['as it is']} of {row['defective']}"
        cells = [f"{row['image_auroc']:.3f}", *alarms, misses]
        lines.append(f"| {row['category']} | {row['exposure']} | {' | '.join(cells)} |")
    for exposure in WAYS:
        own = [row for row in rows if row["exposure"] == exposure]
        rates = [mean(row["flagged"][name] / row["good"] for row in own) for name in LIGHT]
        misses = mean(row["missed"]["as it is"] / row["defective"] for row in own)
        cells = [mean(row["image_auroc"] for row in own), *rates, misses]
        shown = " | ".join(f"{value:.3f}" for value in cells)
        lines.append(f"| mean of {len(own)} | {exposure} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)

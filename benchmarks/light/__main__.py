"""Other light, an even exposure and copies in it: ``python -m benchmarks.light --data DIR ...``.

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
from gtrans_core.data.view import as_seen, brightness
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.evaluation.metrics import roc_auc
from gtrans_core.features.cache import tile_positions
from gtrans_core.features.weights import load_guide
from gtrans_core.storage import write_atomic
from gtrans_core.training.light import copies_wanted
from gtrans_core.training.split import hold_out

RESULTS = Path("benchmarks/results/light.json")
WAYS = (("as_taken", "off"), ("as_taken", "on"), ("even", "off"), ("even", "on"))
"""``image.exposure`` and ``training.light_augmentation``."""
FEW = {"fitted": 96, "held out": 40, "good": 40, "defective": 48}
"""Images of each category with ``--few``: the first ones in content order, which is random."""
LIGHT = {"as it is": 1.0, "25 % darker": 0.75, "25 % brighter": 1.25}


def main(
    data: Annotated[list[Path], typer.Option(help="Category folders in MVTec layout.")],
    seed: Annotated[int, typer.Option(help="Of who is held out, and of the draws.")] = 0,
    few: Annotated[bool, typer.Option(help="Not all images: a few minutes a category.")] = False,
    store: Annotated[Path, typer.Option(help="Weights and caches.")] = Path("gtrans-store"),
    results: Annotated[Path, typer.Option(help="Where the numbers go.")] = RESULTS,
) -> None:
    """Measure what the results do not have yet, and show the table."""
    torch.set_num_threads(1)
    rows = json.loads(results.read_bytes()) if results.is_file() else []
    done = {(row["category"], row["exposure"], row["copies"], row["seed"]) for row in rows}
    for folder in data:
        category = Category.read(folder)
        for exposure, copies in WAYS:
            if (category.name, exposure, copies, seed) not in done:
                way = (exposure, copies)
                rows.append(_measure(category, way, seed, store / "benchmarks", few))
                write_atomic(results, json.dumps(rows, indent=1).encode())
    typer.echo(render(rows))


def _measure(
    category: Category, way: tuple[str, str], seed: int, store: Path, few: bool
) -> dict[str, Any]:
    exposure, copies = way
    knobs = [f"image.exposure={exposure}", f"training.light_augmentation={copies}", f"seed={seed}"]
    config = category.train.settled(load_config(overrides=[*knobs, "scoring.scene_share=1"]))
    guide = load_guide(config.agn, store / "weights")
    features, *in_other_light = (
        category.features(store / "cache", guide, config, factor)[0]
        for factor in (1.0, *copies_wanted(config))
    )
    digests, tiles = features.digests, features.tiles
    fitted, held_out = hold_out(digests, config.training.held_out_fraction, seed)
    labels = category.labels
    tested = np.arange(len(labels))
    if few:
        fitted, held_out = fitted[: FEW["fitted"]], held_out[: FEW["held out"]]
        some_good = np.flatnonzero(~labels)[: FEW["good"]]
        some_bad = np.flatnonzero(labels)[: FEW["defective"]]
        tested = np.sort(np.concatenate((some_good, some_bad)))
    scorer = closed_form_scorer(guide, features, fitted, config, in_other_light)
    good = [
        scorer.score_view(
            scorer.tiling.paste(features.subset(tile_positions([i], tiles)).views).numpy()
        )[1]
        for i in held_out
    ]
    threshold, promised = promised_threshold(good, config.evaluation.false_alarm_rate)
    scores = {
        name: np.array(
            [scorer.score_view(view)[1] for view in _views(category, config, factor, tested)]
        )
        for name, factor in LIGHT.items()
    }
    labels = labels[tested]
    flagged = {name: int((found[~labels] > threshold).sum()) for name, found in scores.items()}
    missed = {name: int((found[labels] <= threshold).sum()) for name, found in scores.items()}
    return {
        "category": category.name,
        "exposure": exposure,
        "copies": copies,
        "fitted": len(fitted),
        "seed": seed,
        "image_auroc": roc_auc(labels, scores["as it is"]),
        "promised": promised,
        "good": int((~labels).sum()),
        "defective": int(labels.sum()),
        "flagged": flagged,
        "missed": missed,
    }


def _views(
    category: Category, config: GTransConfig, factor: float, tested: np.ndarray
) -> list[np.ndarray]:
    """What the network sees of some test images in this light, in content order."""
    samples = category.test.in_content_order()
    as_taken = config.image.model_copy(update={"exposure": "as_taken"})
    return [
        as_seen(
            brightness(decode_view(read_image(category.test, s), s.path, as_taken), factor),
            config.image,
        )
        for s in (samples[i] for i in tested)
    ]


def render(rows: list[dict[str, Any]]) -> str:
    """A line a category and way, then the means over the categories that have both."""
    heads = ["image AUROC", *(f"false alarms, {name}" for name in LIGHT), "misses as it is"]
    lines = [
        f"| category | exposure | copies | {' | '.join(heads)} |",
        f"|---|---|---|{'---|' * len(heads)}",
    ]
    for row in rows:
        alarms = [f"{row['flagged'][name]} of {row['good']}" for name in LIGHT]
        misses = f"{row['missed']['as it is']} of {row['defective']}"
        cells = [f"{row['image_auroc']:.3f}", *alarms, misses]
        way = f"{row['category']} | {row['exposure']} | {row['copies']}"
        lines.append(f"| {way} | {' | '.join(cells)} |")
    for exposure, copies in WAYS:
        own = [row for row in rows if (row["exposure"], row["copies"]) == (exposure, copies)]
        if not own:
            continue
        rates = [mean(row["flagged"][name] / row["good"] for row in own) for name in LIGHT]
        misses = mean(row["missed"]["as it is"] / row["defective"] for row in own)
        cells = [mean(row["image_auroc"] for row in own), *rates, misses]
        shown = " | ".join(f"{value:.3f}" for value in cells)
        lines.append(f"| mean of {len(own)} | {exposure} | {copies} | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)

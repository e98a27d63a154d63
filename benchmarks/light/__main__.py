"""Other light, an even exposure and copies in it: ``python -m benchmarks.light --data DIR ...``.

Without Trans, which has no part in an image's score: the scene model and the patch memory are
fitted as in a run, a fifth of the good images sets the threshold, and torch scores the test images.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.accuracy.closed_form import closed_form_scorer
from benchmarks.accuracy.measure import measured
from benchmarks.accuracy.splits import Category
from benchmarks.accuracy.table import METRICS
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.data.in_light import decode_in_light
from gtrans_core.data.reading import read_image
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.features.cache import tile_positions
from gtrans_core.features.reading import Features
from gtrans_core.features.weights import load_guide
from gtrans_core.storage import write_atomic
from gtrans_core.training.light import chosen_copies, copies_wanted
from gtrans_core.training.split import hold_out

RESULTS = Path("benchmarks/results")
WAYS = (("as_taken", "off"), ("as_taken", "on"), ("even", "off"), ("even", "on"))
"""``image.exposure`` and ``training.light_augmentation``."""
FEW = {"fitted": 96, "held out": 40, "good": 40, "defective": 48}
"""Images of each category with ``--few``: the first ones in content order, which is random."""
AS_IT_IS = "as it is"
LIGHT = {"25 % darker": 0.75, "25 % brighter": 1.25}


def main(
    data: Annotated[list[Path], typer.Option(help="Category folders in MVTec layout.")],
    seed: Annotated[int, typer.Option(help="Of who is held out, and of the draws.")] = 0,
    few: Annotated[bool, typer.Option(help="Not all images: a few minutes a category.")] = False,
    exposures: Annotated[str, typer.Option(help="Comma-separated.")] = "as_taken,even",
    store: Annotated[Path, typer.Option(help="Weights and caches.")] = Path("gtrans-store"),
    folder: Annotated[Path, typer.Option("--results", help="Where the numbers go.")] = RESULTS,
) -> None:
    """Measure what the results do not have yet, and show the table."""
    torch.set_num_threads(1)
    results = folder / ("light-few.json" if few else "light.json")
    rows = json.loads(results.read_bytes()) if results.is_file() else []
    done = {(row["category"], row["exposure"], row["copies"], row["seed"]) for row in rows}
    ways = [way for way in WAYS if way[0] in exposures.split(",")]
    for category in map(Category.read, data):
        for exposure, copies in ways:
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
    started = time.process_time()
    scorer = closed_form_scorer(guide, features, fitted, config, in_other_light)
    seconds = time.process_time() - started
    good = [
        scorer.score_view(
            scorer.tiling.paste(features.subset(tile_positions([i], tiles)).views).numpy()
        )[1]
        for i in held_out
    ]
    threshold, promised = promised_threshold(good, config.evaluation.false_alarm_rate)
    labels, masks = labels[tested], category.test_masks(config)
    maps = np.zeros((len(tested), *config.image.view_shape), np.float32)
    scores = np.zeros(len(tested))
    for i, view in enumerate(_views(category, config, 1, tested)):
        maps[i], scores[i] = scorer.score_view(view)
    flagged = {AS_IT_IS: int((scores[~labels] > threshold).sum())}
    for name, factor in LIGHT.items():
        views = _views(category, config, factor, tested[~labels])
        flagged[name] = sum(scorer.score_view(view)[1] > threshold for view in views)
    of_masks = None if masks is None else masks[tested]
    return {
        "category": category.name,
        "exposure": exposure,
        "copies": copies,
        "fitted": len(fitted),
        "seed": seed,
        **measured(labels, of_masks, maps, scores),
        "promised": promised,
        "good": int((~labels).sum()),
        "defective": int(labels.sum()),
        "flagged": flagged,
        "missed": int((scores[labels] <= threshold).sum()),
        "fitting_seconds": seconds,
        **_auto(features, in_other_light, fitted, config),
    }


def _auto(
    features: Features, copies: Sequence[Features], fitted: list[int], config: GTransConfig
) -> dict[str, Any]:
    """What ``auto`` would choose, and the CPU-seconds that asking good images takes."""
    if not copies:
        return {}
    asked = config.training.model_copy(update={"light_augmentation": "auto"})
    started = time.process_time()
    chosen = chosen_copies(features, copies, fitted, config.model_copy(update={"training": asked}))
    return {"auto": "on" if chosen else "off", "auto_seconds": time.process_time() - started}


def _views(
    category: Category, config: GTransConfig, factor: float, tested: np.ndarray
) -> Iterator[np.ndarray]:
    """What the network sees of some test images in this light, in content order."""
    samples = category.test.in_content_order()
    for sample in (samples[i] for i in tested):
        yield decode_in_light(read_image(category.test, sample), sample.path, config.image, factor)


def render(rows: list[dict[str, Any]]) -> str:
    """A line a category, way and seed, then the mean of each way over all of its rows."""
    metrics = {name: text for name, text in METRICS.items() if all(name in row for row in rows)}
    heads = [
        *metrics.values(),
        *(f"false alarms, {name}" for name in (AS_IT_IS, *LIGHT)),
        "misses as it is",
    ]
    lines = [
        f"| category | exposure | copies | seed | {' | '.join(heads)} |",
        f"|---|---|---|---|{'---|' * len(heads)}",
    ]
    for row in rows:
        alarms = [f"{row['flagged'][name]} of {row['good']}" for name in row["flagged"]]
        misses = f"{row['missed']} of {row['defective']}"
        cells = [*(f"{row[name]:.3f}" for name in metrics), *alarms, misses]
        way = f"{row['category']} | {row['exposure']} | {row['copies']} | {row['seed']}"
        lines.append(f"| {way} | {' | '.join(cells)} |")
    for exposure, copies in WAYS:
        own = [row for row in rows if (row["exposure"], row["copies"]) == (exposure, copies)]
        if not own:
            continue
        rates = [
            mean(row["flagged"][name] / row["good"] for row in own) for name in own[0]["flagged"]
        ]
        misses = mean(row["missed"] / row["defective"] for row in own)
        cells = [*(mean(row[name] for row in own) for name in metrics), *rates, misses]
        shown = " | ".join(f"{value:.3f}" for value in cells)
        lines.append(f"| mean of {len(own)} | {exposure} | {copies} | | {shown} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    typer.run(main)

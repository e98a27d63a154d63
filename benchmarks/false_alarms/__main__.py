"""How many good images are falsely flagged: ``python -m benchmarks.false_alarms --data DIR ...``.

Random ones of a category's good images (of both splits) are made to be all that there are. The
closed-form parts and the threshold come from them as in a run, and further good images are scored.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from benchmarks.false_alarms.pool import Pool, read_pool
from benchmarks.false_alarms.table import Outcome, render
from gtrans_core.config import load_config
from gtrans_core.detector.thresholds import promised_threshold
from gtrans_core.storage import write_atomic
from gtrans_core.training.closed_form import read_out_of_fold
from gtrans_core.training.split import Split, split_images

RESULTS = Path("benchmarks/results/false_alarms.json")
SIZES = (20, 40, 60, 200)
OTHERS = 40
"""Further good images that are scored, at most."""


def main(
    data: Annotated[list[Path], typer.Option(help="Category folders in MVTec layout.")],
    splits: Annotated[int, typer.Option(help="Random splits of each category and size.")] = 50,
    store: Annotated[Path, typer.Option(help="Weights and caches.")] = Path("gtrans-store"),
    results: Annotated[Path, typer.Option(help="Where the numbers go.")] = RESULTS,
) -> None:
    """Measure what the results do not have yet, and show the table."""
    config = load_config(overrides=["training.threads=1"])
    torch.set_num_threads(1)
    outcomes = _read(results)
    done = {(one.category, one.images, one.number) for one in outcomes}
    pools = [read_pool(folder, store / "benchmarks", config) for folder in data]
    for number, pool, images in product(range(splits), pools, SIZES):
        if (pool.name, images, number) not in done:
            outcomes.append(measure(pool, images, number))
            rows = ",\n".join(json.dumps(one._asdict()) for one in outcomes)
            write_atomic(results, f"[\n{rows}\n]\n".encode())
    typer.echo(render(outcomes))


def measure(pool: Pool, images: int, number: int) -> Outcome:
    """One random split: how many of the other good images its threshold flags."""
    rng = np.random.default_rng([number, images])
    order: list[int] = rng.permutation(len(pool.features.digests)).tolist()
    own, others = sorted(order[:images]), order[images : images + OTHERS]
    # Who is held out goes by content and seed: with one seed, it would be nearly the same images.
    drawn = pool.config.model_copy(update={"seed": number})
    split = _of(own, split_images([pool.features.digests[i] for i in own], drawn))
    score = pool.fit(split.fitted)
    if split.is_cross_fitted:
        how = "cross-fitted"
        scores = read_out_of_fold(split, pool.fit, lambda *_: None)
    else:
        how = f"{len(split.calibration)} held out"
        scores = np.array([score(position) for position in split.calibration])
    threshold, promised = promised_threshold(scores, pool.config.evaluation.false_alarm_rate)
    flagged = sum(score(position) > threshold for position in others)
    return Outcome(pool.name, images, number, how, promised, len(others), flagged)


def _of(own: list[int], split: Split) -> Split:
    """The split in terms of the pool's positions."""
    parts = (split.training, split.watched, split.calibration)
    training, watched, calibration = (tuple(own[i] for i in part) for part in parts)
    return Split(training, watched, calibration)


def _read(path: Path) -> list[Outcome]:
    return [Outcome(**row) for row in json.loads(path.read_bytes())] if path.is_file() else []


if __name__ == "__main__":
    typer.run(main)

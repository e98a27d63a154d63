"""How time and memory grow with images and with their size, and the exponent of a power law."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed import training_step
from benchmarks.speed.category import learn_in_own_process
from benchmarks.speed.clock import exponent, side_by_side, timed
from benchmarks.speed.data import good_images
from benchmarks.speed.metrics import evaluate_in_own_process
from benchmarks.speed.process import in_own_process
from benchmarks.speed.subject import make_scorer, packaged, view_of
from gtrans_core.config import GTransConfig, digest_of
from gtrans_core.features.cache import CachedFeatures, build_cache
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.weights import load_guide
from gtrans_core.training.closed_form import fit_closed_form

IMAGES = (50, 200, 1000, 5000)
FEW_IMAGES = (25, 50, 100, 200)
"""For what costs too much to be done for 5,000 images in a benchmark of minutes."""
SIZES = (128, 256, 384, 512)
CATEGORIES = (1, 5, 15)
SMALL_CATEGORY = 60
"""Good images of each, where categories are counted."""
MAP_SIDE = 64


def measure(store: Path) -> dict[str, Any]:
    """Cost curves, each ``{"sizes", "costs", "exponent", ...}``."""
    torch.set_num_threads(1)
    learned = [learn_in_own_process(1, n) for n in IMAGES]
    several = [learn_in_own_process(n, SMALL_CATEGORY) for n in CATEGORIES]
    evaluated = [evaluate_in_own_process(n, MAP_SIDE) for n in IMAGES]
    built, verified = _cache(store)
    steps = [in_own_process(training_step.__name__, str(side)) for side in SIZES]
    return {
        "a small category, CPU-s over images": _curve(IMAGES, _seconds(learned)),
        "a small category, MB over images": _curve(IMAGES, _megabytes(learned)),
        "small categories, CPU-s over their number": _curve(CATEGORIES, _seconds(several)),
        "small categories, MB over their number": _curve(CATEGORIES, _megabytes(several)),
        "metrics, CPU-s over images": _curve(IMAGES, _seconds(evaluated)),
        "metrics, MB over images": _curve(IMAGES, _megabytes(evaluated)),
        "building a cache, CPU-s over images": _curve(FEW_IMAGES, built),
        "verifying a cache, CPU-s over images": _curve(FEW_IMAGES, verified),
        "fitting a scene model, CPU-s over images": _curve(IMAGES, _scene(store)),
        "a training step, CPU-s over the input's side": _curve(SIZES, _seconds(steps)),
        "a training step, MB over the input's side": _curve(SIZES, _megabytes(steps)),
        "scoring, CPU-ms over the input's side": _curve(SIZES, _scoring(store)),
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        f"| {name} | {', '.join(map(str, curve['sizes']))} | "
        f"{', '.join(f'{cost:g}' for cost in curve['costs'])} | {curve['exponent']:.2f} |"
        for name, curve in found.items()
    ]
    return "\n".join(["| what | at | costs | exponent |", "|---|---|---|---|", *rows])


def _curve(sizes: tuple[int, ...], costs: list[float]) -> dict[str, Any]:
    return {
        "sizes": list(sizes),
        "costs": [float(f"{cost:.3g}") for cost in costs],
        "exponent": exponent(list(sizes), costs),
    }


def _seconds(found: list[dict[str, Any]]) -> list[float]:
    return [float(each["cpu_s"]) for each in found]


def _megabytes(found: list[dict[str, Any]]) -> list[float]:
    return [each["peak_bytes"] / 1e6 for each in found]


def _cache(store: Path) -> tuple[list[float], list[float]]:
    """CPU seconds of making caches, and of verifying them."""
    config = GTransConfig()
    guide = load_guide(config.agn, store / "weights")
    root = store / "growing"
    shutil.rmtree(root, ignore_errors=True)
    seconds = []
    for count in FEW_IMAGES:
        manifest = good_images(store, count)
        identity = cache_identity(manifest, guide.agn.spec, guide.weights_sha256, config.image)
        for _ in range(2):  # the second time everything is there
            started = time.process_time()
            build_cache(root, identity, manifest, guide.agn, lambda *_: None)
            seconds.append(time.process_time() - started)
    return seconds[::2], seconds[1::2]


def _scene(store: Path) -> list[float]:
    """CPU seconds of fitting scene model and patch memory to caches of so many images."""
    config = GTransConfig()
    shapes = load_guide(config.agn, store / "weights").agn.spec.map_shapes(config.image.view_shape)
    seconds = []
    for count in IMAGES:
        maps = [torch.empty(count, *shape, dtype=torch.float16).normal_() for shape in shapes]
        digests = tuple(digest_of(i) for i in range(count))
        features = CachedFeatures(digests, torch.empty(count, 0), (maps[0], maps[1], maps[2]))
        started = time.process_time()
        fit_closed_form(features, range(count), config)
        seconds.append(time.process_time() - started)
    return seconds


def _scoring(store: Path) -> list[float]:
    """CPU milliseconds of scoring a view of each size."""
    tasks = {str(size): timed(_score_once(store, size)) for size in SIZES}
    return list(side_by_side(tasks, repeats=7).values())


def _score_once(store: Path, size: int) -> Callable[[], object]:
    engine = packaged(make_scorer(store, f"image.size={size}"), size)
    view = view_of(size)
    return lambda: engine.score_view(view)

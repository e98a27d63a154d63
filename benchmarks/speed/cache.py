"""The feature cache: what a miss costs, what a hit costs, and how much memory reading takes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.speed import streaming
from benchmarks.speed.data import good_images
from gtrans_core.config import GTransConfig
from gtrans_core.features.cache import build_cache, load_cache
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.weights import load_guide

IMAGES = 192
HITS = 5
Found = TypeVar("Found")


def measure(store: Path) -> dict[str, Any]:
    """CPU seconds and bytes of ``IMAGES`` images of 256 x 256."""
    torch.set_num_threads(1)
    config = GTransConfig()
    guide = load_guide(config.agn, store / "weights")
    manifest = good_images(store, IMAGES)
    identity = cache_identity(manifest, guide.agn.spec, guide.weights_sha256, config.image)
    root = store / "cache"
    shutil.rmtree(root, ignore_errors=True)

    def build() -> Path:
        return build_cache(root, identity, manifest, guide.agn, lambda *_: None).folder

    folder, miss = _timed(build)
    hit = min(_timed(build)[1] for _ in range(HITS))
    features, load = min(
        (_timed(lambda: load_cache(folder)) for _ in range(HITS)), key=lambda pair: pair[1]
    )
    stored = sum(path.stat().st_size for path in folder.iterdir())
    kept = [features.views, *features.maps]
    return {
        "images": IMAGES,
        "bytes": stored,
        "miss_cpu_s": round(miss, 2),
        "hit_cpu_s": round(hit, 3),
        "hit_percent_of_miss": round(100 * hit / miss, 1),
        "verify_gbytes_per_second": round(stored / hit / 1e9, 2),
        "load_cpu_s": round(load, 3),
        "load_gbytes_per_second": round(stored / load / 1e9, 2),
        "bytes_in_memory_per_image": sum(t.numel() * t.element_size() for t in kept) // IMAGES,
        "streamed": streaming.measure(store, folder, config, guide.agn.spec),
    }


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    memory, streamed = found["bytes_in_memory_per_image"], found["streamed"]
    few, many = streamed["peak_bytes"]
    return "\n".join(
        [
            f"| {found['images']} images, {found['bytes'] / 1e6:.0f} MB | found | asked |",
            "|---|---|---|",
            f"| a miss (decode, AGN, write), CPU-s | {found['miss_cpu_s']:.2f} | |",
            f"| a hit (verify all), CPU-s | {found['hit_cpu_s']:.3f} | |",
            f"| a hit over a miss | {found['hit_percent_of_miss']:.1f} % | at most 5 % |",
            f"| verification | {found['verify_gbytes_per_second']:.2f} GB/s | at least 0.8 GB/s |",
            f"| loading (verify, then into memory), CPU-s | {found['load_cpu_s']:.3f} | |",
            f"| memory an image, once loaded | {memory / 1e3:.0f} kB, so "
            f"{memory * 10_000 / 1e9:.1f} GB for 10,000 | |",
            f"| streamed: memory of a training of {few['images']:,} and {many['images']:,} small "
            f"images ({few['bytes'] / 1e6:.0f} and {many['bytes'] / 1e6:.0f} MB) | "
            f"{few['peak'] / 1e6:.0f} and {many['peak'] / 1e6:.0f} MB | flat |",
            f"| reading an image in memory, and streamed, CPU-ms | "
            f"{streamed['read_cpu_ms']['resident']:.2f} and "
            f"{streamed['read_cpu_ms']['streamed']:.2f} | |",
            f"| images a second of the training loop, streamed over in memory | "
            f"{streamed['loop_ratio']:.3f} | |",
        ]
    )


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started

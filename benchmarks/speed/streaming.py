"""Training with features that stay on disk: its memory, and its speed beside one in memory."""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from benchmarks.speed.clock import side_by_side, timed
from benchmarks.speed.memory import peak_bytes_so_far
from benchmarks.speed.process import in_own_process
from gtrans_core.config import GTransConfig, load_config
from gtrans_core.features.cache import SHARD_SIZE, TENSOR_NAMES, load_cache
from gtrans_core.features.cache_index import CacheIdentity, CacheIndex, Shard, write_index
from gtrans_core.features.reading import Features, StreamedFeatures, open_features
from gtrans_core.network.backbone import BackboneSpec, agn_spec
from gtrans_core.storage.verified import write_verified
from gtrans_core.training.batches import epoch_order
from gtrans_core.training.loop import train_trans

SIZES = 1_000, 10_000
"""Images of the two trainings whose memory is compared: tiny ones, for a tiny network."""
SMALL = (
    *("image.size=64", "agn.backbone=test_efficientnet", "agn.taps=[4, 8, 16]"),
    *("agn.weights=random:0", "trans.backbone=agn"),
    *("trans.token_width=16", "trans.tokens_per_map=4"),
    *("training.epochs=1", "training.device=cpu", "training.threads=1", "training.resident_mb=0"),
)
ROUNDS = 2


def measure(store: Path, cache: Path, config: GTransConfig, spec: BackboneSpec) -> dict[str, Any]:
    """Peak memory of both sizes; what reading an image costs; the loop streamed over resident.

    Args:
        store: random caches are written below it, and removed.
        cache: of the default config, to compare speed on.
        config: the default config.
        spec: its guide's.
    """
    changed = {"epochs": 1, "device": "cpu", "threads": 1}
    config = config.model_copy(update={"training": config.training.model_copy(update=changed)})
    features: dict[str, Features] = {
        "resident": load_cache(cache),
        "streamed": StreamedFeatures(cache),
    }
    loops = {name: timed(partial(_train, f, spec, config)) for name, f in features.items()}
    loop = side_by_side(loops, ROUNDS, warm_up=1)
    readers = {name: timed(partial(_read_an_epoch, f)) for name, f in features.items()}
    read = side_by_side(readers, 5)
    images = len(features["resident"].digests)
    return {
        "peak_bytes": [_peak(store, count) for count in SIZES],
        "read_cpu_ms": {name: round(ms / images, 3) for name, ms in read.items()},
        "loop_ratio": round(loop["resident"] / loop["streamed"], 3),
    }


def _peak(store: Path, images: int) -> dict[str, int]:
    config = load_config(overrides=SMALL)
    with tempfile.TemporaryDirectory(dir=store) as root:
        cache = write_random_cache(Path(root), images, config)
        size = sum(path.stat().st_size for path in cache.iterdir())
        return {"images": images, "bytes": size, "peak": peak_bytes(cache, config)}


def _read_an_epoch(features: Features) -> None:
    for positions in torch.split(epoch_order(len(features.digests), 0, 0), 16):
        features.subset(positions.tolist())


def write_random_cache(root: Path, images: int, config: GTransConfig) -> Path:
    """A cache of noise, of any size without decoding or computing anything; returns its folder."""
    spec = agn_spec(config.agn)
    names = tuple(hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(images))
    identity = CacheIdentity(
        images=names,
        backbone=spec.name,
        weights_sha256="0" * 64,
        taps=spec.strides,
        mean=spec.mean,
        std=spec.std,
        image=config.image,
    )
    shape = config.image.view_shape
    generator = torch.Generator().manual_seed(0)
    shards = []
    for start in range(0, images, SHARD_SIZE):
        part = names[start : start + SHARD_SIZE]
        views = torch.randint(
            0, 256, (len(part), 3, *shape), dtype=torch.uint8, generator=generator
        )
        maps = [
            torch.rand(len(part), *of_map, generator=generator).half()
            for of_map in spec.map_shapes(shape)
        ]
        data = safetensors.torch.save(
            dict(zip(TENSOR_NAMES, (views, *maps), strict=True)), {"images": " ".join(part)}
        )
        path = write_verified(root / identity.key, f"shard-{start:05d}", "safetensors", data)
        shards.append(Shard(name=path.name, images=part))
    write_index(root / identity.key, CacheIndex(identity=identity, shards=tuple(shards)))
    return root / identity.key


def peak_bytes(cache: Path, config: GTransConfig) -> int:
    """The highest memory of a process that trains from a cache."""
    return int(in_own_process(__name__, str(cache), config.to_json())["peak_bytes"])


def train(cache: Path, config: GTransConfig) -> int:
    """Train from a cache; returns the highest memory of this process so far, in bytes."""
    spec = agn_spec(config.agn)
    _train(open_features(cache, config.training.resident_mb), spec, config)
    return peak_bytes_so_far()


def _train(features: Features, spec: BackboneSpec, config: GTransConfig) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train_trans(
            features,
            spec,
            config,
            Path(folder),
            on_progress=lambda *_: None,
            say=lambda _: None,
            stop_requested=lambda: False,
        )


if __name__ == "__main__":
    peak = train(Path(sys.argv[1]), GTransConfig.from_json(sys.argv[2]))
    print(json.dumps({"peak_bytes": peak}))  # noqa: T201 - its answer

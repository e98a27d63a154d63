"""Memory of a training whose features stay on disk, in a process of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors.torch
import torch

from benchmarks.speed.memory import peak_bytes_so_far
from gtrans_core.cache import (
    SHARD_SIZE,
    TENSOR_NAMES,
    CacheIdentity,
    CacheIndex,
    Shard,
    write_index,
)
from gtrans_core.config import GTransConfig
from gtrans_core.features import open_features
from gtrans_core.network.agn import backbone_spec
from gtrans_core.training import train_trans
from gtrans_core.verified import write_verified


def write_random_cache(root: Path, images: int, config: GTransConfig) -> Path:
    """A cache of noise, of any size without decoding or computing anything; returns its folder."""
    spec = backbone_spec(config.agn.backbone, config.agn.taps)
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
    side = config.image.input_size
    generator = torch.Generator().manual_seed(0)
    shards = []
    for start in range(0, images, SHARD_SIZE):
        part = names[start : start + SHARD_SIZE]
        views = torch.randint(
            0, 256, (len(part), 3, side, side), dtype=torch.uint8, generator=generator
        )
        maps = [
            torch.rand(len(part), *shape, generator=generator).half()
            for shape in spec.map_shapes(side)
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
    done = subprocess.run(  # noqa: S603 - this very file
        [sys.executable, "-m", __name__, str(cache), config.to_json()],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


def train(cache: Path, config: GTransConfig) -> int:
    """Train from a cache; returns the highest memory of this process so far, in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        train_trans(
            open_features(cache, config.training.resident_mb),
            backbone_spec(config.agn.backbone, config.agn.taps),
            config,
            Path(folder),
            on_progress=lambda *_: None,
            say=lambda _: None,
            stop_requested=lambda: False,
        )
    return peak_bytes_so_far()


if __name__ == "__main__":
    print(train(Path(sys.argv[1]), GTransConfig.from_json(sys.argv[2])))  # noqa: T201 - its answer

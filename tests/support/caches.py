"""Feature caches of a few photos under a tiny guide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache import CacheReport, build_cache
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.weights import load_guide
from gtrans_core.network.agn import Agn
from gtrans_core.network.backbone import BackboneSpec
from tests.support.tiny import photos, tiny_config


@dataclass(frozen=True)
class TinyCache:
    """Features of eleven photos: two are held out, nine make two steps an epoch."""

    folder: Path
    key: str
    weights_sha256: str
    spec: BackboneSpec


def build_tiny_cache(root: Path) -> TinyCache:
    """Photos and their cache below ``root``."""
    config = tiny_config()
    manifest = photos(root / "photos", 11)
    guide = load_guide(config.agn, root)
    identity = cache_identity(manifest, guide.agn.spec, guide.weights_sha256, config.image)
    report = build_cache(root / "cache", identity, manifest, guide.agn, lambda done, total: None)
    return TinyCache(report.folder, report.key, guide.weights_sha256, guide.agn.spec)


class CacheBuilder:
    """A cache of a manifest's photos under one guide."""

    def __init__(self, root: Path, manifest: Manifest, agn: Agn, config: GTransConfig) -> None:
        self.root = root
        self.manifest = manifest
        self.agn = agn
        self.identity = cache_identity(manifest, agn.spec, "0" * 64, config.image)
        self.folder = root / self.identity.key
        self.progress: list[tuple[int, int]] = []

    def build(self) -> CacheReport:
        self.progress.clear()
        return build_cache(
            self.root,
            self.identity,
            self.manifest,
            self.agn,
            lambda done, total: self.progress.append((done, total)),
        )

    def shards(self) -> list[Path]:
        return sorted(self.folder.glob("shard-*.safetensors"))

    def files(self) -> dict[str, bytes]:
        """Every file but what was set aside."""
        paths = [p for p in self.folder.iterdir() if not p.name.endswith(".damaged")]
        return {path.name: path.read_bytes() for path in paths}

    def use_maps_of(self, *values: float) -> CacheBuilder:
        """Take a guide whose maps have these values, one for each shard."""
        self.agn = Agn(Constant(self.agn.spec, values), self.agn.spec)
        return self


class Constant(nn.Module):
    """A backbone whose maps have one value, another for each batch."""

    def __init__(self, spec: BackboneSpec, values: Iterable[float]) -> None:
        super().__init__()
        self.spec, self.values = spec, iter(values)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        value, shapes = next(self.values), zip(self.spec.channels, self.spec.strides, strict=True)
        return [torch.full((len(inputs), c, 64 // s, 64 // s), value) for c, s in shapes]

"""All good images of a category, and what the reference network makes of them, computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from gtrans_core.config import GTransConfig
from gtrans_core.data.layout import scan_category
from gtrans_core.features.cache import CachedFeatures, build_cache, load_cache
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.weights import load_guide
from gtrans_core.network.memory import memory_maps
from gtrans_core.network.score import image_map, image_score, usual_map
from gtrans_core.training.closed_form import fit_closed_form


@dataclass(frozen=True)
class Pool:
    """Features of N images. By default no image's score is read from Trans, so there is none."""

    name: str
    features: CachedFeatures
    config: GTransConfig

    def fit(self, positions: Sequence[int]) -> Callable[[int], float]:
        """What scores a position once the closed-form parts are fitted to these."""
        config, size = self.config, self.config.image.view_shape
        scene, memory = fit_closed_form(self.features, positions, config)
        assert scene is not None  # noqa: S101 - the default config gives it a share
        unread_1HW = torch.empty(1, *size)
        usual_1HW = usual_map(scene.usual_maps(), size, config)

        @torch.inference_mode()
        def score(position: int) -> float:
            maps = [m.float() for m in self.features.subset([position]).maps]
            far = memory(memory_maps(maps, config.agn.taps)) if memory else None
            fused_1HW = image_map(unread_1HW, maps, [], scene(maps), far, config)
            return float(image_score(fused_1HW, usual_1HW, config.scoring)[0])

        return score


def read_pool(folder: Path, store: Path, config: GTransConfig) -> Pool:
    """The good images of both splits of a category, their features cached in ``store``.

    Raises:
        DataError: as ``scan_category``.
    """
    train, test = scan_category(folder, folder.name, str(folder))
    good = (*train.samples, *(sample for sample in test.samples if sample.is_good))
    manifest = train.model_copy(update={"samples": good})
    guide = load_guide(config.agn, store / "weights")
    spec = guide.agn.spec
    identity = cache_identity(manifest, spec, guide.weights_sha256, config.image)
    report = build_cache(store / "cache", identity, manifest, guide.agn, lambda *_: None)
    features = load_cache(report.folder)
    return Pool(folder.name, features, config)

"""All good images of a category, what each network makes of them, computed once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gtrans_core.config import GTransConfig
from gtrans_core.data.layout import scan_category
from gtrans_core.features.cache import CachedFeatures, build_cache, cache_identity, load_cache
from gtrans_core.features.weights import load_guide
from gtrans_core.network.backbone import BackboneSpec
from gtrans_core.network.memory import memory_maps
from gtrans_core.network.score import heat_map, image_map, image_score, usual_map
from gtrans_core.network.trans import Trans
from gtrans_core.training.closed_form import fit_closed_form
from gtrans_core.training.loop import train_trans

TRANS_IMAGES = 60


@dataclass(frozen=True)
class Pool:
    """Features of N images, and Trans' maps of each by a Trans that was not trained on it."""

    name: str
    features: CachedFeatures
    trans_maps: list[list[Tensor]]
    config: GTransConfig

    def fit(self, positions: Sequence[int]) -> Callable[[int], float]:
        """What scores a position once the closed-form parts are fitted to these."""
        config, size = self.config, (self.config.image.input_size,) * 2
        scene, memory = fit_closed_form(self.features, positions, config)
        assert scene is not None  # noqa: S101 - the default config gives it a share
        usual_1HW = usual_map(scene.usual_maps(), size, config)

        @torch.inference_mode()
        def score(position: int) -> float:
            maps = [m.float() for m in self.features.subset([position]).maps]
            far = memory(memory_maps(maps, config.agn.taps)) if memory else None
            all_maps = maps, self.trans_maps[position], scene(maps), far
            fused_1HW = image_map(heat_map(*all_maps, size, config), *all_maps, config)
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
    return Pool(folder.name, features, _unseen(features, spec, config), config)


def _unseen(
    features: CachedFeatures, spec: BackboneSpec, config: GTransConfig
) -> list[list[Tensor]]:
    """Two Trans, of images that have nothing in common: what one learnt from, the other maps."""
    half = min(TRANS_IMAGES, len(features.digests) // 2)
    first = _trained(features.subset(range(half)), spec, config)
    second = _trained(features.subset(range(half, 2 * half)), spec, config)
    maps = []
    with torch.inference_mode():
        for position in range(len(features.digests)):
            image = features.subset([position])
            trans = second if position < half else first
            agn_maps = [m.float() for m in image.maps]
            maps.append(trans(spec.normalise(image.views), agn_maps))
    return maps


def _trained(features: CachedFeatures, spec: BackboneSpec, config: GTransConfig) -> Trans:
    """A Trans trained on all of these images, as where too few can be held out."""
    with tempfile.TemporaryDirectory() as folder:
        return train_trans(
            features,
            spec,
            config,
            Path(folder),
            on_progress=lambda *_: None,
            say=lambda _: None,
            stop_requested=lambda: False,
        ).trans

"""``author_compat``: the guide drifts once, in the images' order, and every step sees the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache import load_cache
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.features.weights import load_guide
from gtrans_core.network.agn import state_sha256
from gtrans_core.network.build import build_trans
from gtrans_core.steps.cache_features import cache_features
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.judging import _scorer
from gtrans_core.training.author_compat import apply_author_compat, author_compat_identity
from gtrans_core.training.batches import epoch_order
from gtrans_core.training.split import hold_out
from gtrans_core.training.trained_model import (
    TrainedModel,
    load_trained,
    save_trained,
)
from tests.support.records import training_info

COMPAT = "research.author_compat=true"


@pytest.fixture
def manifest(tmp_path: Path, make_photos: Callable[[Path, int], Manifest]) -> Manifest:
    torch.set_num_threads(1)  # so that features can be compared bit by bit
    return make_photos(tmp_path / "photos", 11)


@pytest.fixture
def settings(tmp_path: Path) -> RunContext:
    return RunContext("r1", "part", str(tmp_path / "store"), "sqlite://", "lab")


def drifted(config: GTransConfig, manifest: Manifest) -> dict[str, torch.Tensor]:
    agn = load_guide(config.agn, Path()).agn
    apply_author_compat(agn, config, manifest)
    assert not any(module.training for module in agn.modules())
    return agn.backbone.state_dict()


def test_only_statistics_drift_by_a_tenth_of_each_batch_in_the_seeds_order(
    tiny_config, tiny_cache, manifest: Manifest
) -> None:
    """The first norm by hand, from the outputs of the convolution before it."""
    config = tiny_config(COMPAT)
    clean = load_guide(config.agn, Path()).agn
    before, after = clean.backbone.state_dict(), drifted(config, manifest)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "running" in name or "num_batches" in name}

    cached = load_cache(tiny_cache.folder)  # the same photos
    training, _ = hold_out(cached.digests, 0.2, config.seed)
    order = epoch_order(len(training), config.seed, epoch=0)
    mean = before["bn1.running_mean"]
    for batch in order[:8].split(4):  # nine images: the short last batch is left out
        views = cached.views[[training[i] for i in batch]]
        outputs = clean.backbone.conv_stem(clean.spec.normalise(views))
        mean = 0.9 * mean + 0.1 * outputs.mean(dim=(0, 2, 3))
    torch.testing.assert_close(after["bn1.running_mean"], mean, rtol=1e-4, atol=1e-6)


def test_without_author_compat_nothing_drifts(tiny_config, manifest: Manifest) -> None:
    assert author_compat_identity(tiny_config()) == ""
    clean = load_guide(tiny_config().agn, Path()).agn.backbone.state_dict()
    assert state_sha256(drifted(tiny_config(), manifest)) == state_sha256(clean)


@pytest.mark.parametrize(
    "override", ["seed=1", "training.batch_size=3", "training.held_out_fraction=0.4"]
)
def test_what_decides_the_drift_is_in_its_identity(
    tiny_config, manifest: Manifest, override: str
) -> None:
    one, other = tiny_config(COMPAT), tiny_config(COMPAT, override)
    assert author_compat_identity(one) != author_compat_identity(other)
    states = [state_sha256(drifted(config, manifest)) for config in (one, one, other)]
    assert states[0] == states[1] != states[2]


def test_cache_and_evaluation_see_the_same_drifted_guide(
    tiny_config, settings: RunContext, manifest: Manifest, tmp_path: Path
) -> None:
    train_manifest, model = tmp_path / "train.json", tmp_path / "model"
    manifest.write(train_manifest)
    references = []
    for number, config in enumerate((tiny_config(), tiny_config(COMPAT))):
        file = tmp_path / f"cache-{number}.json"
        cache_features(settings, config.to_json(), train_manifest, file)
        references.append(FeatureCacheRef.read(file))
    clean, compat = references
    assert clean.key != compat.key
    assert clean.weights_sha256 == compat.weights_sha256

    config = tiny_config(COMPAT, "scoring.scene_share=0", "scoring.memory_share=0")
    spec = load_guide(config.agn, Path()).agn.spec
    info = training_info(
        config, cache_key=compat.key, weights_sha256=compat.weights_sha256, held_out=(), steps=8
    )
    save_trained(model, TrainedModel(build_trans(spec, config), None, None), info)
    trained, info = load_trained(model)
    scorer = _scorer(settings, config, trained, info, Manifest.read(train_manifest))
    features = load_cache(Path(compat.folder))
    for cached, plain, now in zip(
        features.maps,
        load_cache(Path(clean.folder)).maps,
        scorer.agn(spec.normalise(features.views)),
        strict=True,
    ):
        torch.testing.assert_close(cached.float(), now, rtol=2e-3, atol=1e-3)
        assert not torch.allclose(cached.float(), plain.float(), rtol=2e-2, atol=1e-2)

"""Cache features: every good training image decoded once, every AGN map computed once."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import torch

from gtrans_core.config import GTransConfig, ImageConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache import build_cache, image_bytes
from gtrans_core.features.cache_index import CacheIdentity, cache_identity
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.features.shared import build_shared_cache
from gtrans_core.features.weights import load_guide
from gtrans_core.network.agn import Agn
from gtrans_core.network.backbone import check_input_shape
from gtrans_core.network.build import check_student
from gtrans_core.network.tiling import Tiling
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.storage import write_atomic
from gtrans_core.storage.sealed import sealed
from gtrans_core.training.author_compat import apply_author_compat, author_compat_identity
from gtrans_core.training.light import copies_wanted


def cache_features(
    context: RunContext,
    config_json: str,
    train_manifest: Path,
    feature_cache: Path,
    cache_store: str = "",
) -> str:
    """Build the feature cache of the training split, or verify the one that is there.

    Args:
        context: the run.
        config_json: the config.
        train_manifest: the training split.
        feature_cache: file to write the reference to.
        cache_store: where caches are shared with other machines (``s3://bucket/prefix`` or a
            folder); empty: nowhere.

    Returns:
        The cache key.

    Raises:
        WeightsError, ConfigError: when the AGN cannot be built or does not fit the image size.
        DataError: when an image is gone or changed since ingest.
        StorageError: when there is no room, or the shared store refuses or does not answer.
    """
    progress = Progress("cache_features", context.category)
    progress.started()
    config = GTransConfig.from_json(config_json)
    manifest = Manifest.read(train_manifest)
    config = manifest.settled(config)
    guide = load_guide(config.agn, context.weights_folder)
    check_input_shape(guide.agn.spec, config.image.input_shape)
    check_student(guide.agn.spec, config)  # not of the cache, but training would fail after it
    identity = cache_identity(
        manifest, guide.agn.spec, guide.weights_sha256, config.image, author_compat_identity(config)
    )
    apply_author_compat(guide.agn, config, manifest)
    for line in _cost_of_tiles(config.image, len(identity.images), guide.agn):
        progress.said(line)
    build = partial(build_shared_cache, cache_store) if cache_store else build_cache
    report, *in_other_light = (
        build(
            context.root / "cache",
            one,
            manifest,
            guide.agn,
            partial(progress.advanced, "images" if one is identity else "images in other light"),
        )
        for one in (identity, *_in_other_light(identity, config))
    )
    reference = FeatureCacheRef(
        folder=str(report.folder),
        key=report.key,
        weights_sha256=guide.weights_sha256,
        cache_store=cache_store,
        in_other_light=tuple(other.key for other in in_other_light),
    )
    write_atomic(feature_cache, sealed(reference.model_dump_json(indent=1)))
    reports = (report, *in_other_light)
    fetched = sum(one.fetched_shards for one in reports)
    damaged = sum(one.damaged_shards for one in reports)
    computed = sum(one.computed for one in reports)
    if fetched:
        progress.said(f"{fetched} shards fetched from {cache_store}")
    if damaged:
        progress.said(f"{damaged} damaged shards set aside and made again")
    if not computed:
        progress.said(f"feature cache reused: {len(identity.images)} images, verified")
    else:
        copies = f", {len(reports) - 1} copies of each in other light" if in_other_light else ""
        progress.said(f"features of {computed} images computed{copies}")
    progress.finished(reused=not computed, computed=computed, damaged_shards=damaged)
    return report.key


def _in_other_light(identity: CacheIdentity, config: GTransConfig) -> list[CacheIdentity]:
    """The caches of the same images in other light, where training wants such copies."""
    return [identity.model_copy(update={"brightness": factor}) for factor in copies_wanted(config)]


def _cost_of_tiles(image: ImageConfig, images: int, agn: Agn) -> list[str]:
    """What tiles cost, before they are paid for: seconds an image, bytes of the cache."""
    tiles = Tiling(image).count
    if tiles == 1:
        return []
    view = torch.zeros(1, 3, *image.input_shape, dtype=torch.uint8)
    started = time.perf_counter()
    agn(agn.spec.normalise(view))
    seconds = tiles * (time.perf_counter() - started)
    height, width = image.input_shape
    size = images * image_bytes(image, agn.spec) / 1e6
    return [
        f"{tiles} tiles of {width} x {height} pixels an image: the guide alone takes about "
        f"{seconds:.1f} s an image on this machine, in training once and then for each that is "
        f"scored; the feature cache takes {size:,.0f} MB"
    ]

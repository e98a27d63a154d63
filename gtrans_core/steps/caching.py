"""Filling the feature cache: every image decoded once, every AGN map computed once."""

from __future__ import annotations

from functools import partial
from typing import Any

from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache import build_cache
from gtrans_core.features.cache_index import CacheIdentity, cache_identity
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.features.shared import build_shared_cache
from gtrans_core.features.weights import load_guide
from gtrans_core.network.backbone import check_input_shape
from gtrans_core.network.build import check_student
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.training.author_compat import apply_author_compat, author_compat_identity
from gtrans_core.training.light import copies_wanted


def fill_cache(
    context: RunContext,
    given: GTransConfig,
    manifest: Manifest,
    cache_store: str,
    progress: Progress,
) -> tuple[FeatureCacheRef, dict[str, Any]]:
    """Build what is missing of a cache, and verify the rest.

    Args:
        context: the run.
        given: the config.
        manifest: the training split.
        cache_store: see ``cache_features``.
        progress: told how far it is.

    Returns:
        The reference, and what the step ends with.

    Raises:
        WeightsError, ConfigError, DataError, StorageError: as ``cache_features``.
    """
    config = manifest.settled(given)
    guide = load_guide(config.agn, context.weights_folder)
    check_input_shape(guide.agn.spec, config.image.input_shape)
    check_student(guide.agn.spec, config)  # not of the cache, but training would fail after it
    identity = cache_identity(
        manifest, guide.agn.spec, guide.weights_sha256, config.image, author_compat_identity(config)
    )
    apply_author_compat(guide.agn, config, manifest)
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
    results = {"reused": not computed, "computed": computed, "damaged_shards": damaged}
    return reference, results


def _in_other_light(identity: CacheIdentity, config: GTransConfig) -> list[CacheIdentity]:
    """The caches of the same images in other light, where training wants such copies."""
    return [identity.model_copy(update={"brightness": factor}) for factor in copies_wanted(config)]

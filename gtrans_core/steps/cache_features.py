"""Cache features: every training image decoded once, every AGN map computed once."""

from __future__ import annotations

from pathlib import Path

from gtrans_core.config import GTransConfig
from gtrans_core.data.manifest import Manifest
from gtrans_core.features.cache_index import intact_index
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.features.weights_digest import weights_digest
from gtrans_core.progress import Progress
from gtrans_core.steps.context import RunContext
from gtrans_core.steps.kept import Kept
from gtrans_core.storage import sha256_file, write_atomic
from gtrans_core.storage.sealed import sealed

_REFERENCE = "features.json"


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
    weights = weights_digest(config.agn)
    decides = {
        "config": config.model_dump(mode="json"),
        "manifest": sha256_file(train_manifest),
        "weights": weights,
    }
    kept = Kept(context.root, "cache_features", decides, progress.said)
    # What others share has to be fetched or sent; weights without a digest may be others now.
    found = None if cache_store or weights is None else _verified(kept, feature_cache, progress)
    if found is not None:
        return found.key
    from gtrans_core.steps.caching import fill_cache

    reference, results = fill_cache(context, config, manifest, cache_store, progress)
    write_atomic(feature_cache, sealed(reference.model_dump_json(indent=1)))
    if not cache_store and weights is not None:
        kept.keep({_REFERENCE: feature_cache})
    progress.finished(**results)
    return reference.key


def _verified(kept: Kept, feature_cache: Path, progress: Progress) -> FeatureCacheRef | None:
    """The reference to caches that an earlier run has filled, every shard of them verified."""
    if kept.restore({_REFERENCE: feature_cache}) is None:
        return None
    reference = FeatureCacheRef.read(feature_cache)
    indices = [intact_index(folder) for folder in reference.folders]
    if not all(indices) or indices[0] is None:
        return None
    progress.said(f"feature cache reused: {len(indices[0].identity.images)} images, verified")
    progress.finished(reused=True, computed=0, damaged_shards=0)
    return reference

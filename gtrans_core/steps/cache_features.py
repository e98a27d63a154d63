"""Cache features: every good training image decoded once, every AGN map computed once."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gtrans_core.cache import build_cache, cache_identity
from gtrans_core.config import GTransConfig, describe_validation
from gtrans_core.data.manifest import Manifest
from gtrans_core.errors import DataError
from gtrans_core.network.agn import check_input_size
from gtrans_core.progress import Progress
from gtrans_core.steps.released import as_released, drift_identity
from gtrans_core.steps.settings import RunSettings
from gtrans_core.storage import write_atomic
from gtrans_core.weights import load_guide


class FeatureCacheRef(BaseModel):
    """What the step hands on: where the cache is and what it was made with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    key: str
    weights_sha256: str

    @classmethod
    def read(cls, path: Path) -> FeatureCacheRef:
        """Read what ``cache_features`` wrote.

        Raises:
            DataError: when the file is missing or not one.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from None
        except ValidationError as error:
            raise DataError(
                f"{path}: not a cache reference: {describe_validation(error)}"
            ) from None


def cache_features(
    settings: RunSettings, config_json: str, train_manifest: Path, feature_cache: Path
) -> str:
    """Build the feature cache of the training split, or verify the one that is there.

    Returns:
        The cache key.

    Raises:
        WeightsError, ConfigError: when the AGN cannot be built or does not fit the image size.
        DataError: when an image is gone or changed since ingest.
        StorageError: when there is no room.
    """
    progress = Progress("cache_features", settings.category)
    progress.started()
    config = GTransConfig.from_json(config_json)
    manifest = Manifest.read(train_manifest)
    guide = load_guide(config.agn, settings.weights_folder)
    check_input_size(guide.agn.spec, config.image.input_size)
    identity = cache_identity(
        manifest, guide.agn.spec, guide.weights_sha256, config.image, drift_identity(config)
    )
    as_released(guide.agn, config, manifest)
    report = build_cache(
        settings.root / "cache",
        identity,
        manifest,
        guide.agn,
        lambda done, total: progress.advanced("images", done, total),
    )
    reference = FeatureCacheRef(
        folder=str(report.folder), key=report.key, weights_sha256=guide.weights_sha256
    )
    write_atomic(feature_cache, reference.model_dump_json(indent=1).encode())
    if report.damaged_shards:
        progress.said(f"{report.damaged_shards} damaged shards set aside and made anew")
    if report.reused:
        progress.said(f"feature cache reused: {len(identity.images)} images, verified")
    else:
        progress.said(f"features of {report.computed} images computed")
    progress.finished(
        reused=report.reused, computed=report.computed, damaged_shards=report.damaged_shards
    )
    return report.key

"""What a feature cache is made of: its identity, which is its key, and the index of its shards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gtrans_core.config import ImageConfig, digest_of
from gtrans_core.data.images import DECODER_VERSION
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.errors import DataError
from gtrans_core.storage import write_atomic
from gtrans_core.storage.documents import Facts
from gtrans_core.storage.verified import DamagedFileError, read_verified

if TYPE_CHECKING:
    from gtrans_core.network.backbone import BackboneSpec

INDEX_NAME = "cache.json"


class CacheIdentity(BaseModel):
    """Everything that decides a cache's bytes. Change one and the key changes."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_by_name=True, serialize_by_alias=True
    )

    schema_version: Literal[1] = 1
    images: tuple[str, ...]
    backbone: str
    weights_sha256: str
    taps: tuple[int, int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    image: ImageConfig
    decoder_version: str = DECODER_VERSION
    dtype: Literal["float16, bfloat16 where it overflows"] = "float16, bfloat16 where it overflows"
    moved_statistics: str = Field(default="", alias="drift")
    """What moved the guide's statistics (``research.author_compat``); empty: nothing did.
    Keys and files of caches call it ``drift``."""
    blocks: tuple[int, int, int] | None = None
    """Of a ViT as guide."""
    brightness: float = 1.0
    """What all pixels are multiplied with first (``training.light_augmentation``)."""

    @property
    def key(self) -> str:
        """sha256 (hex) of the canonical JSON, but for what changes no pixel.

        An unmoved guide's keys do not mention ``drift``; those of whole grey levels do not mention
        levels, nor those of whole images tiles and a region, nor those of images as taken the
        exposure and the brightness, nor those of a CNN blocks.
        """
        unused = {"max_megapixels"} | (set() if self.image.levels else {"levels"})
        unused |= set() if self.image.has_tiles else {"tiles", "overlap"}
        unused |= set() if self.image.region else {"region"}
        unused |= {"exposure"} if self.image.exposure == "as_taken" else set()
        exclude: dict[str, set[str] | bool] = {"image": unused}
        exclude |= {} if self.moved_statistics else {"moved_statistics": True}
        exclude |= {} if self.blocks else {"blocks": True}
        exclude |= {"brightness": True} if self.brightness == 1 else {}
        return digest_of(self.model_dump(mode="json", exclude=exclude))


class Shard(Facts):
    """Up to 32 images: the file's name (with its sha256) and the images' digests, in order."""

    name: str
    images: tuple[str, ...]


class CacheIndex(Facts):
    """``cache.json``: written when all shards are there."""

    model_config = ConfigDict(serialize_by_alias=True)

    identity: CacheIdentity
    shards: tuple[Shard, ...]


def cache_identity(
    manifest: Manifest,
    spec: BackboneSpec,
    weights_sha256: str,
    image: ImageConfig,
    moved_statistics: str = "",
) -> CacheIdentity:
    """The identity of the cache of a training manifest under one guide."""
    return CacheIdentity(
        images=tuple(s.sha256 for s in unique_samples(manifest)),
        backbone=spec.name,
        weights_sha256=weights_sha256,
        taps=spec.strides,
        mean=spec.mean,
        std=spec.std,
        image=image,
        moved_statistics=moved_statistics,
        blocks=spec.blocks,
    )


def unique_samples(manifest: Manifest) -> Iterator[Sample]:
    """Samples in content order, each content once: a copied file adds nothing."""
    seen: set[str] = set()
    for sample in manifest.in_content_order():
        if sample.sha256 not in seen:
            seen.add(sample.sha256)
            yield sample


def finished_index(folder: Path) -> CacheIndex:
    """The index of a cache that must be there.

    Raises:
        DataError: when there is none that can be trusted.
    """
    index = read_index(folder)
    if index is None:
        raise DataError(f"{folder}: no intact feature cache here; run cache_features again")
    return index


def intact_index(folder: Path) -> CacheIndex | None:
    """The index of a finished cache whose every shard has the bytes that its name promises."""
    index = read_index(folder)
    if index is None:
        return None
    try:
        for shard in index.shards:
            read_verified(folder / shard.name)
    except DamagedFileError:
        return None
    return index


def read_index(folder: Path) -> CacheIndex | None:
    """A cache's index, or None where there is none that can be trusted: it is made from shards."""
    try:
        return parse_index((folder / INDEX_NAME).read_bytes(), folder.name)
    except OSError:
        return None


def parse_index(data: bytes, key: str) -> CacheIndex | None:
    """The index of the cache with this key, or None where the bytes are not that."""
    try:
        index = CacheIndex.model_validate_json(data)
    except ValidationError:
        return None
    listed = tuple(digest for shard in index.shards for digest in shard.images)
    trusted = index.identity.key == key and listed == index.identity.images
    return index if trusted else None


def write_index(folder: Path, index: CacheIndex) -> None:
    """Write ``cache.json``: the cache is finished.

    Raises:
        StorageError: when the folder cannot be written.
    """
    write_atomic(folder / INDEX_NAME, index.model_dump_json(indent=1).encode())

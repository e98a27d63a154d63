"""The AGN feature cache: every training image decoded once, every AGN map computed once.

Content-addressed: the key covers the images' bytes, the guide and all preprocessing, and no file
name or time. A cache is a folder of safetensors shards (written first, each with its sha256 in its
name) and ``cache.json`` (written last). A damaged shard is set aside and computed again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from gtrans_core.config import ImageConfig
from gtrans_core.data.in_light import decode_in_light
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.data.reading import read_image
from gtrans_core.errors import DataError
from gtrans_core.features.cache_index import (
    CacheIdentity,
    CacheIndex,
    Shard,
    finished_index,
    read_index,
    write_index,
)
from gtrans_core.network.agn import Agn
from gtrans_core.network.backbone import BackboneSpec
from gtrans_core.network.tiling import Tiling
from gtrans_core.storage import require_free_space
from gtrans_core.storage.verified import (
    DamagedFileError,
    quarantine,
    read_verified,
    safetensors_header,
    write_verified,
)

SHARD_SIZE = 32
_MAP_NAMES = ("map1", "map2", "map3")
TENSOR_NAMES = ("views", *_MAP_NAMES)
"""What a shard holds, by image."""


@dataclass(frozen=True)
class CacheReport:
    """What a build did: images computed now, and damaged shards set aside and made again."""

    folder: Path
    key: str
    computed: int
    damaged_shards: int
    fetched_shards: int = 0
    """Shards that came from another machine (``shared_cache``)."""

    @property
    def reused(self) -> bool:
        """Whether everything was there already, and intact."""
        return self.computed == 0


@dataclass(frozen=True)
class CachedFeatures:
    """Images of a category in memory, in content order.

    ``views``: uint8 [N T, 3, H, W]; ``maps``: three half-precision tensors [N T, C_i, H_i, W_i]; T
    the tiles of an image, which lie one after the other. ``digests``: of the N images.
    """

    digests: tuple[str, ...]
    views: Tensor
    maps: tuple[Tensor, Tensor, Tensor]
    tiles: int = 1

    def subset(self, positions: Sequence[int]) -> CachedFeatures:
        """The tiles at some positions (``tile_positions``), copied, each as an image."""
        index = torch.tensor(positions, dtype=torch.long, device=self.views.device)
        map1, map2, map3 = (m[index] for m in self.maps)
        return CachedFeatures(
            tuple(self.digests[i // self.tiles] for i in positions),
            self.views[index],
            (map1, map2, map3),
        )

    def request(self, positions: Sequence[int]) -> Callable[[], CachedFeatures]:
        """``subset`` when it is called: in memory there is nothing to wait for."""
        return partial(self.subset, positions)

    def to(self, device: torch.device) -> CachedFeatures:
        """The same on a device."""
        map1, map2, map3 = (m.to(device) for m in self.maps)
        return CachedFeatures(self.digests, self.views.to(device), (map1, map2, map3), self.tiles)


def tile_positions(images: Iterable[int], tiles: int) -> list[int]:
    """Where the tiles of the images at these positions are."""
    return [image * tiles + tile for image in images for tile in range(tiles)]


def build_cache(
    root: Path,
    identity: CacheIdentity,
    manifest: Manifest,
    agn: Agn,
    on_progress: Callable[[int, int], None],
) -> CacheReport:
    """Make sure that the cache is there and intact; compute only what is not.

    Two builders of one cache do each other no harm: each shard is published once, whole, under a
    name that holds its digest; the index last.

    Raises:
        DataError: when an image is gone, damaged or changed.
        StorageError: when there is no room (checked beforehand) or the folder is not writable.
    """
    folder = root / identity.key
    existing, damaged = _intact_shards(folder, identity, agn.spec)
    require_free_space(folder, _missing_bytes(identity, agn.spec, existing), "feature cache")
    samples = {s.sha256: s for s in manifest.samples}
    shards: list[Shard] = []
    computed = 0
    of_shard = max(1, SHARD_SIZE // Tiling(identity.image).count)
    for number, digests in enumerate(_chunks(identity.images, of_shard)):
        shard = existing.get(digests)
        if shard is None:
            data = _compute_shard(agn, manifest, [samples[d] for d in digests], identity)
            path = write_verified(
                folder, f"shard-{number:05d}", "safetensors", data, overwrite=False
            )
            shard = Shard(name=path.name, images=digests)
            computed += len(digests)
        shards.append(shard)
        on_progress(sum(len(s.images) for s in shards), len(identity.images))
    index = CacheIndex(identity=identity, shards=tuple(shards))
    if read_index(folder) != index:
        write_index(folder, index)
    return CacheReport(folder, identity.key, computed, damaged)


def read_views(
    manifest: Manifest, samples: Sequence[Sample], image: ImageConfig, brightness: float = 1.0
) -> Tensor:
    """What the network sees of some images: uint8 [N, 3, H, W].

    Args:
        manifest: says where they are.
        samples: the images.
        image: how they become the network's input.
        brightness: what all pixels are multiplied with first.

    Raises:
        DataError: when an image is gone, damaged or changed.
    """

    def view(sample: Sample) -> Tensor:
        data = read_image(manifest, sample)
        return torch.from_numpy(decode_in_light(data, sample.path, image, brightness))

    with ThreadPoolExecutor(max_workers=4) as pool:  # Pillow decodes without the GIL
        return torch.stack(list(pool.map(view, samples)))


def load_cache(folder: Path) -> CachedFeatures:
    """Read and verify a whole cache.

    Raises:
        DataError: when the index or a shard is missing or damaged; building it again mends it.
    """
    index = finished_index(folder)
    try:
        parts = [safetensors.torch.load(read_verified(folder / s.name)) for s in index.shards]
    except DamagedFileError as error:
        raise shard_error(error) from None
    # Parts are freed as they are joined, so that memory never holds everything twice.
    views, map1, map2, map3 = (
        concatenate([part.pop(name) for part in parts]) for name in TENSOR_NAMES
    )
    tiles = Tiling(index.identity.image).count
    return CachedFeatures(index.identity.images, views, (map1, map2, map3), tiles)


def shard_error(error: DamagedFileError) -> DataError:
    """The error for a damaged shard, saying what to do."""
    return DataError(f"{error}; run the pipeline again, which makes the shard again")


def concatenate(tensors: list[Tensor]) -> Tensor:
    """One tensor; where shards differ in half format, fp32 holds both exactly."""
    if len({tensor.dtype for tensor in tensors}) > 1:
        tensors = [tensor.float() for tensor in tensors]
    return torch.cat(tensors)


def _chunks(items: tuple[str, ...], size: int) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _compute_shard(
    agn: Agn, manifest: Manifest, samples: Sequence[Sample], identity: CacheIdentity
) -> bytes:
    whole = read_views(manifest, samples, identity.image, identity.brightness)
    views = Tiling(identity.image).cut(whole).contiguous()
    maps = agn(agn.spec.normalise(views))
    tensors = {name: _halved(m) for name, m in zip(_MAP_NAMES, maps, strict=True)}
    metadata = {"images": " ".join(s.sha256 for s in samples)}
    return safetensors.torch.save({"views": views, **tensors}, metadata)


def _halved(map_BCHW: Tensor) -> Tensor:
    """fp16, or bf16 where a value would overflow fp16.

    Raises:
        DataError: when a value is not finite.
    """
    if not torch.isfinite(map_BCHW).all():
        raise DataError(
            "the features of the reference network (AGN) are not finite; "
            "check agn.weights and the images"
        )
    half = map_BCHW.to(torch.float16)
    if not torch.isfinite(half).all():
        half = map_BCHW.to(torch.bfloat16)
    return half.contiguous()


def _intact_shards(
    folder: Path, identity: CacheIdentity, spec: BackboneSpec
) -> tuple[dict[tuple[str, ...], Shard], int]:
    """Shards that verify, by their images, finished cache or not; damaged ones are set aside."""
    intact: dict[tuple[str, ...], Shard] = {}
    damaged = 0
    for path in sorted(folder.glob("shard-*.safetensors")):
        try:
            images = _shard_images(path, identity, spec)
        except DamagedFileError:
            quarantine(path)
            damaged += 1
        else:
            intact[images] = Shard(name=path.name, images=images)
    return intact, damaged


def _shard_images(path: Path, identity: CacheIdentity, spec: BackboneSpec) -> tuple[str, ...]:
    """The images' digests from the header of a shard (its length, 8 bytes; JSON; then data).

    Raises:
        DamagedFileError: when its bytes changed, or it does not hold what this cache needs.
    """
    data = read_verified(path)
    try:
        header = safetensors_header(data)
        images = tuple(header["__metadata__"]["images"].split())
        types = [header[name]["dtype"] for name in _MAP_NAMES]
        shapes = [header[name]["shape"] for name in TENSOR_NAMES]
        fits = header["views"]["dtype"] == "U8" and set(types) <= {"F16", "BF16"}
        safetensors.torch.load(data)  # refuses tensors that do not cover the file
    except (ValueError, KeyError, TypeError, SafetensorError):
        raise DamagedFileError(f"{path}: not a shard") from None
    seen, count = identity.image.input_shape, len(images) * Tiling(identity.image).count
    maps = [[count, *shape] for shape in spec.map_shapes(seen)]
    if not fits or shapes != [[count, 3, *seen], *maps]:
        raise DamagedFileError(f"{path}: holds other types or shapes than this cache")
    return images


def _missing_bytes(
    identity: CacheIdentity, spec: BackboneSpec, existing: dict[tuple[str, ...], Shard]
) -> int:
    """Bytes of the tensors still to be written: uint8 views and halved maps."""
    missing = len(identity.images) - sum(len(images) for images in existing)
    return missing * image_bytes(identity.image, spec)


def image_bytes(image: ImageConfig, spec: BackboneSpec) -> int:
    """Bytes that an image takes in a cache."""
    halved = sum(2 * math.prod(shape) for shape in spec.map_shapes(image.input_shape))
    return Tiling(image).count * (3 * math.prod(image.input_shape) + halved)

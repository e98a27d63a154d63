"""How training reads a feature cache: from memory where it fits, else from disk as needed.

Both give the same bits. Streaming keeps memory constant, however many images: a shard is verified
when the cache is opened, and each image again when it is read, so that no byte is used that another
process has changed since. Plain reads, no memory map: a mapped file that is cut short kills its
reader (SIGBUS).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gtrans_core.features.cache import (
    TENSOR_NAMES,
    CachedFeatures,
    concatenate,
    load_cache,
    shard_error,
)
from gtrans_core.features.cache_index import finished_index
from gtrans_core.network.tiling import Tiling
from gtrans_core.storage.verified import DamagedFileError, read_verified, safetensors_header

_READERS = 4
"""Images read at a time; reading and hashing go on without the GIL."""
_DTYPES = {"U8": torch.uint8, "F16": torch.float16, "BF16": torch.bfloat16}

Request = Callable[[], CachedFeatures]
"""Waits for images that are being read. Raises DataError when their shard was damaged meanwhile."""


class Features(Protocol):
    """A category's cached images, in content order."""

    @property
    def digests(self) -> tuple[str, ...]:
        """sha256 of each image's file."""

    @property
    def tiles(self) -> int:
        """T, tiles of an image, which lie one after the other: N T positions in all."""

    def subset(self, positions: Sequence[int]) -> CachedFeatures:
        """The tiles at some positions (``tile_positions``), each as an image, in memory.

        Raises:
            DataError: when a shard was damaged since it was opened.
        """

    def request(self, positions: Sequence[int]) -> Request:
        """Begin to read images that will be needed soon."""


def open_features(folder: Path, resident_mb: int) -> Features:
    """Verify a cache and hold it in memory, or read it as needed where it has more bytes.

    Args:
        folder: the cache's.
        resident_mb: MB (10^6 bytes) of shards that may be held.

    Raises:
        DataError: when the index or a shard is missing or damaged; building it again mends it.
    """
    paths = [folder / shard.name for shard in finished_index(folder).shards]
    size = sum(path.stat().st_size for path in paths if path.is_file())
    return load_cache(folder) if size <= resident_mb * 10**6 else StreamedFeatures(folder)


class StreamedFeatures:
    """Features that stay on disk; memory holds each image's position and digest.

    Raises:
        DataError: when the index or a shard is missing or damaged; building it again mends it.
    """

    def __init__(self, folder: Path) -> None:
        index = finished_index(folder)
        self.digests = index.identity.images
        self.tiles = Tiling(index.identity.image).count
        try:
            shards = [_open_shard(folder / shard.name) for shard in index.shards]
        except DamagedFileError as error:
            raise shard_error(error) from None
        self._places = [(shard, i) for shard in shards for i in range(len(shard.sha256))]
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="features")

    def subset(self, positions: Sequence[int]) -> CachedFeatures:
        """The images at some positions, in memory.

        Raises:
            DataError: when a shard was damaged since it was opened.
        """
        return self.request(positions)()

    def request(self, positions: Sequence[int]) -> Request:
        """Begin to read images that will be needed soon."""
        places = [self._places[position] for position in positions]
        buffers = [
            torch.empty(len(places), part.size, dtype=torch.uint8) for part in places[0][0].parts
        ]
        rows = zip(*(buffer.numpy() for buffer in buffers), strict=True)
        reads = [
            self._readers.submit(shard.read, number, pieces)
            for (shard, number), pieces in zip(places, rows, strict=True)
        ]

        def finish() -> CachedFeatures:
            try:
                for read in reads:
                    read.result()
            except DamagedFileError as error:
                raise shard_error(error) from None
            views, map1, map2, map3 = (
                _typed(buffer, [shard.parts[i] for shard, _ in places])
                for i, buffer in enumerate(buffers)
            )
            digests = tuple(self.digests[position // self.tiles] for position in positions)
            return CachedFeatures(digests, views, (map1, map2, map3))

        return finish


@dataclass(frozen=True)
class _Part:
    """One tensor of a shard: the byte where it starts, and what it has of each image."""

    start: int
    size: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    def offset(self, number: int) -> int:
        """The byte where an image's share starts."""
        return self.start + number * self.size


@dataclass(frozen=True)
class _Shard:
    """Where a shard's tensors lie (views and three maps), and each image's sha256 over its four."""

    path: Path
    parts: tuple[_Part, ...]
    sha256: tuple[bytes, ...]

    def read(self, number: int, pieces: Sequence[npt.NDArray[np.uint8]]) -> None:
        """Fill the four pieces of an image.

        Raises:
            DamagedFileError: when the file is gone, or the bytes are not those that were verified.
        """
        try:
            with self.path.open("rb") as file:
                for part, piece in zip(self.parts, pieces, strict=True):
                    file.seek(part.offset(number))
                    file.readinto(piece.data)
        except OSError as error:
            raise DamagedFileError(f"{self.path}: cannot be read ({error.strerror})") from None
        if _sha256([piece.data for piece in pieces]) != self.sha256[number]:
            raise DamagedFileError(f"{self.path}: changed since it was verified")


def _open_shard(path: Path) -> _Shard:
    """Verify a shard as a whole, and note where its images lie and what they are.

    Raises:
        DamagedFileError: when its bytes are not those that its name promises.
    """
    data = memoryview(read_verified(path))
    header = safetensors_header(data)
    first = 8 + int.from_bytes(data[:8], "little")
    parts = tuple(_part(header[name], first) for name in TENSOR_NAMES)
    count = header[TENSOR_NAMES[0]]["shape"][0]
    digests = (
        _sha256([data[part.offset(i) : part.offset(i + 1)] for part in parts]) for i in range(count)
    )
    return _Shard(path, parts, tuple(digests))


def _part(entry: Mapping[str, Any], first: int) -> _Part:
    """A tensor's entry in the header; ``first`` is the byte after the header."""
    start, end = entry["data_offsets"]
    count, *shape = entry["shape"]
    return _Part(first + start, (end - start) // count, _DTYPES[entry["dtype"]], tuple(shape))


def _sha256(pieces: Iterable[memoryview]) -> bytes:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _typed(buffer: Tensor, parts: Sequence[_Part]) -> Tensor:
    """The tensor that the bytes [N, bytes] of some images hold."""
    shape = parts[0].shape
    if len({part.dtype for part in parts}) == 1:
        return buffer.view(parts[0].dtype).view(-1, *shape)
    images = zip(torch.split(buffer, 1), parts, strict=True)
    return concatenate([row.view(part.dtype).view(1, *shape) for row, part in images])

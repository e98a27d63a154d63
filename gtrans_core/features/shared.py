"""Feature caches shared between machines: what one has computed, the others fetch.

A store (``s3://bucket/prefix``, or a folder) holds under ``KEY/`` the same files as a cache's local
folder: shards, each written once under a name with its sha256, and then ``cache.json``. Work is
done on a local copy, and only what verifies here is used, whoever wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from gtrans_core.data.manifest import Manifest
from gtrans_core.errors import DataError
from gtrans_core.features.cache import CacheReport, build_cache
from gtrans_core.features.cache_index import (
    INDEX_NAME,
    CacheIdentity,
    CacheIndex,
    parse_index,
    read_index,
    write_index,
)
from gtrans_core.network.agn import Agn
from gtrans_core.storage import Store, open_store, require_free_space
from gtrans_core.storage.verified import DamagedFileError, quarantine, read_verified

_THREADS = 4
"""Transfers at a time; each upload holds a shard in memory."""


def build_shared_cache(
    cache_store: str,
    root: Path,
    identity: CacheIdentity,
    manifest: Manifest,
    agn: Agn,
    on_progress: Callable[[int, int], None],
) -> CacheReport:
    """Make sure that the cache is here and in the shared store; compute only what neither has.

    A shard that comes damaged is set aside here, counted, computed again and written over the
    damaged one. Two builders of one cache do each other no harm: each object is written once
    (``If-None-Match: *``), the index last, and the first index stays.

    Args:
        cache_store: the shared store; for the rest see ``build_cache``.

    Raises:
        DataError: when an image is gone, damaged or changed.
        StorageError: when either store refuses, does not answer or has no room.
    """
    folder = root / identity.key
    there = _look(cache_store, identity.key)
    fetched = _fetch(there, folder)
    report = build_cache(root, identity, manifest, agn, on_progress)
    _publish(there, folder, fetched)
    damaged = [name for name, intact in fetched.items() if not intact]
    return replace(
        report,
        fetched_shards=len(fetched) - len(damaged),
        damaged_shards=report.damaged_shards + len(damaged),
    )


def fetch_cache(cache_store: str, folder: Path) -> None:
    """Bring a finished cache to ``folder``, unless it is there: for a step on another machine.

    Raises:
        DataError: when the shared store has no such cache, or a damaged one.
        StorageError: when either store refuses, does not answer or has no room.
    """
    if read_index(folder) is not None:
        return
    there = _look(cache_store, folder.name)
    if there.index is None or not there.is_complete or not all(_fetch(there, folder).values()):
        raise DataError(
            f"{cache_store}/{folder.name}: no intact feature cache there; run cache_features again"
        )
    write_index(folder, there.index)


@dataclass(frozen=True)
class _There:
    """What the shared store has of one cache."""

    store: Store
    sizes: Mapping[str, int]
    """Bytes of each file, by name."""
    index: CacheIndex | None
    """None where no builder has finished, or the file is damaged."""

    @property
    def is_complete(self) -> bool:
        """Whether everything that the index lists is there."""
        return self.index is not None and len(self.shards) == len(self.index.shards)

    @property
    def shards(self) -> tuple[str, ...]:
        """The finished cache's shards; of an unfinished one, all there are."""
        listed = [shard.name for shard in self.index.shards] if self.index else sorted(self.sizes)
        return tuple(name for name in listed if name.startswith("shard-") and name in self.sizes)


def _look(cache_store: str, key: str) -> _There:
    store = open_store(f"{cache_store.rstrip('/')}/{key}")
    sizes = {entry.name: entry.size for entry in store.list()}
    index = parse_index(store.read(INDEX_NAME), key) if INDEX_NAME in sizes else None
    return _There(store, sizes, index)


def _fetch(there: _There, folder: Path) -> dict[str, bool]:
    """Bring the shards that are not here, and tell of each whether it came intact."""
    wanted = [name for name in there.shards if not (folder / name).exists()]
    require_free_space(folder, sum(there.sizes[name] for name in wanted), "shared feature cache")

    def fetch(name: str) -> bool:
        there.store.download(name, folder / name)
        try:
            read_verified(folder / name)
        except DamagedFileError:
            quarantine(folder / name)
            return False
        return True

    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(wanted, pool.map(fetch, wanted), strict=True))


def _publish(there: _There, folder: Path, fetched: Mapping[str, bool]) -> None:
    """Write what the shared store lacks: shards first, the index last."""
    index = read_index(folder)
    if index is None:
        raise DataError(f"{folder}: the feature cache was removed while it was shared")

    def write(name: str, overwrite: bool) -> None:
        there.store.write(name, (folder / name).read_bytes(), overwrite=overwrite)

    def write_shard(name: str) -> None:
        is_damaged = not fetched.get(name, True)
        if is_damaged or name not in there.sizes:
            write(name, overwrite=is_damaged)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(write_shard, [shard.name for shard in index.shards]))
    if index != there.index:
        # One that was there is damaged itself, or lists shards that were damaged.
        write(INDEX_NAME, overwrite=INDEX_NAME in there.sizes)

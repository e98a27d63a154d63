"""A reference to a feature cache: the file that one step writes and later steps open it by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import DataError
from gtrans_core.storage.documents import Facts, read_json

if TYPE_CHECKING:
    from gtrans_core.features.reading import Features


class FeatureCacheRef(Facts):
    """What ``cache_features`` hands on: where the cache is and what it was made with."""

    folder: str
    key: str
    weights_sha256: str
    cache_store: str = ""
    """Where the cache is shared; empty: it is only in the folder."""
    in_other_light: tuple[str, ...] = ()
    """Keys of caches of the same images in other light, beside the folder."""

    def open(self, resident_mb: int) -> Features:
        """Verify the whole cache, fetching it first where another machine has made it.

        Args:
            resident_mb: what may be held in memory (see ``open_features``).

        Raises:
            DataError: when it is missing or damaged; building it again mends it.
            StorageError: when it cannot be fetched.
        """
        return self._opened(Path(self.folder), resident_mb)

    def open_in_other_light(self) -> tuple[Features, ...]:
        """The same images in other light, in the same order, read as needed; errors as ``open``."""
        return tuple(self._opened(folder, resident_mb=0) for folder in self.folders[1:])

    @property
    def folders(self) -> tuple[Path, ...]:
        """That of the cache, then those of the copies in other light."""
        folder = Path(self.folder)
        return (folder, *(folder.parent / key for key in self.in_other_light))

    def _opened(self, folder: Path, resident_mb: int) -> Features:
        from gtrans_core.features.reading import open_features
        from gtrans_core.features.shared import fetch_cache

        if self.cache_store:
            fetch_cache(self.cache_store, folder)
        return open_features(folder, resident_mb)

    @classmethod
    def read(cls, path: Path) -> FeatureCacheRef:
        """Read what ``cache_features`` wrote.

        Raises:
            DataError: when the file is missing or invalid.
        """
        return read_json(path, cls, "a cache reference", DataError)

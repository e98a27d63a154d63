"""Which grey levels of 16-bit images become 0 and 255, so that enough of them survive in 8 bits.

Of 65,536 levels the upper 8 bits are kept by default. A camera of 10 or 12 bits, or one whose
picture fills a narrow band, would lose nearly all of its levels; then a range is fixed from the
training images, kept in their manifest, and part of the detector from there on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

_DEPTH = 65536
_ENOUGH = 128
"""Half of what 8 bits hold; from this many on the upper 8 bits are read, as they always were."""
_MARGIN = 4
"""A measured range grows by a quarter of itself at either end: defects may be darker, brighter."""
_OUTLIERS = 0.001
"""Share of pixels at either end that may be hot or dead ones."""

Range = tuple[int, int]


def stretch(values: npt.NDArray[np.integer], levels: Range) -> npt.NDArray[np.uint8]:
    """Grey levels to 0..255: the first of ``levels`` and all below to 0, the second to 255."""
    low, high = levels
    clipped = np.clip(values, low, high).astype(np.int64) - low
    rounded: npt.NDArray[np.int64] = (clipped * 255 + (high - low) // 2) // (high - low)
    return rounded.astype(np.uint8)


class GreyLevels:
    """How often each grey level occurs in a set of 16-bit images."""

    def __init__(self) -> None:
        self._counts = np.zeros(_DEPTH, np.int64)

    def add(self, counts: npt.NDArray[np.integer]) -> None:
        """Another image's, [65536] (see ``counts_of``)."""
        self._counts += counts

    def left(self, levels: Range | None) -> int:
        """How many of the 256 levels are used by a range; None: by the upper 8 bits."""
        used = np.flatnonzero(self._counts)
        return np.unique(used >> 8 if levels is None else stretch(used, levels)).size

    def choose(self) -> Range | None:
        """The range to read, or None where the upper 8 bits serve as well as any.

        The first that leaves enough levels: the range of 8 to 15 whole bits, that of the values
        with a margin, that without the outliers; else the one that leaves most.
        """
        best, most = None, self.left(None)
        if not self._counts.any():
            return None
        for levels in self._candidates():
            if most >= _ENOUGH:
                break
            if self.left(levels) > most:
                best, most = levels, self.left(levels)
        return best

    @property
    def used(self) -> Range:
        """The lowest and the highest level there is."""
        used = np.flatnonzero(self._counts)
        return int(used[0]), int(used[-1])

    def _candidates(self) -> Iterator[Range]:
        low, high = self.used
        yield 0, (1 << max(8, high.bit_length())) - 1
        yield _with_margin(low, high)
        shares = self._counts.cumsum() / self._counts.sum()
        inner = np.searchsorted(shares, [_OUTLIERS, 1 - _OUTLIERS])
        yield _with_margin(int(inner[0]), int(inner[1]))


def counts_of(values: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """How often each of the 65,536 levels occurs in an image."""
    return np.bincount(values.ravel(), minlength=_DEPTH)


def _with_margin(low: int, high: int) -> Range:
    margin = (high - low) // _MARGIN
    low, high = max(0, low - margin), min(_DEPTH - 1, high + margin)
    return low, max(high, low + 1)

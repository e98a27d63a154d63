"""Regions of defects that count as found before all of them is, read from their masks when asked.

In MVTec LOCO AD a mask is one region, and its file says how much of it is enough (sPRO).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.data.mask_view import preprocess_mask
from gtrans_core.data.reading import read_regions

Region = tuple[npt.NDArray[np.bool_], float]
"""What it covers of the view [H, W], and the share of that which counts as all of it, in (0, 1]."""


@dataclass(frozen=True)
class MaskRegions:
    """Regions of a split's images; ``samples`` gives the images' order."""

    manifest: Manifest
    samples: tuple[Sample, ...]
    config: ImageConfig

    def __getitem__(self, position: int, /) -> list[Region]:
        """Those of the image at a position; none where its masks do not say how much is enough.

        Raises:
            DataError: when a mask is gone, changed or damaged.
        """
        found = read_regions(self.manifest, self.samples[position])
        return [(preprocess_mask(mask, self.config), share) for mask, share in found]

    @property
    def are_known(self) -> bool:
        """Whether any mask says how much is enough."""
        return any(mask.saturation for sample in self.samples for mask in sample.masks)

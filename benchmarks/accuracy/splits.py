"""The data of a benchmark: a category, its two splits, and who may learn from which image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gtrans_core.config import GTransConfig
from gtrans_core.data.images import decode_view
from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import Manifest
from gtrans_core.data.mask_view import preprocess_mask
from gtrans_core.data.reading import read_image, read_mask
from gtrans_core.data.sources.catalogue import fetch_category
from gtrans_core.features.cache import CachedFeatures, build_cache, load_cache
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.features.weights import Guide
from gtrans_core.training.split import hold_out


@dataclass(frozen=True)
class Category:
    """A category in MVTec layout."""

    name: str
    train: Manifest
    test: Manifest

    @classmethod
    def read(cls, folder: Path) -> Category:
        """Check and describe a category's folder.

        Raises:
            DataError: as ``scan_category``.
        """
        train, test = scan_category(folder, folder.name, str(folder))
        return cls(folder.name, train, test)

    @classmethod
    def named(cls, data: str, store: Path) -> Category:
        """A category's folder, or ``SOURCE:CATEGORY`` of the product's sources (``elpv:mono``).

        Args:
            data: as on the command line.
            store: where a source puts its folders.

        Raises:
            DataError: as ``fetch_category`` and ``scan_category``.
        """
        source, colon, name = data.partition(":")
        if not colon:
            return cls.read(Path(data))
        folder = fetch_category(source, name, store, say=print, on_progress=lambda *_: None)
        return cls.read(folder)

    @property
    def labels(self) -> npt.NDArray[np.bool_]:
        """True where a test image is defective, in content order."""
        return np.array([not s.is_good for s in self.test.in_content_order()])

    @property
    def test_paths(self) -> list[Path]:
        """Test images in content order."""
        return [Path(self.test.root) / s.path for s in self.test.in_content_order()]

    def training_paths(self, seed: int) -> list[Path]:
        """The good images that GTrans trains on under a seed; peers get the same ones.

        The rest is held out: every method needs some for a threshold.
        """
        paths = {s.sha256: Path(self.train.root) / s.path for s in self.train.samples}
        digests = sorted(paths)
        training, _ = hold_out(digests, GTransConfig().training.held_out_fraction, seed)
        return [paths[digests[i]] for i in training]

    def features(
        self, store: Path, guide: Guide, config: GTransConfig, brightness: float = 1.0
    ) -> tuple[CachedFeatures, str]:
        """The feature cache of all good training images, built on first use, and its key."""
        image = self.train.settled(config).image
        identity = cache_identity(self.train, guide.agn.spec, guide.weights_sha256, image)
        identity = identity.model_copy(update={"brightness": brightness})
        report = build_cache(store, identity, self.train, guide.agn, lambda *_: None)
        return load_cache(report.folder), report.key

    def shape(self, config: GTransConfig) -> tuple[int, int]:
        """Height and width of what the network sees."""
        return self.train.settled(config).image.view_shape

    def test_views(self, config: GTransConfig) -> npt.NDArray[np.uint8]:
        """What the network sees of each test image [N, 3, H, W], in content order."""
        image = self.train.settled(config).image
        return np.stack(
            [
                decode_view(read_image(self.test, s), s.path, image)
                for s in self.test.in_content_order()
            ]
        )

    def test_masks(self, config: GTransConfig) -> npt.NDArray[np.bool_] | None:
        """Ground truth [N, H, W] in content order, or None for a data set without masks."""
        if not self.test.has_masks:
            return None
        image = self.train.settled(config).image
        masks = np.zeros((len(self.test.samples), *image.view_shape), np.bool_)
        for i, sample in enumerate(self.test.in_content_order()):
            mask = read_mask(self.test, sample)
            if mask is not None:
                masks[i] = preprocess_mask(mask, image)
        return masks

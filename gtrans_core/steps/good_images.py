"""The good images that a threshold comes from, read from the feature cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtrans_core.config import GTransConfig
from gtrans_core.detector.reading import reading
from gtrans_core.errors import DataError
from gtrans_core.features.cache import tile_positions
from gtrans_core.features.reading import Features
from gtrans_core.features.reference import FeatureCacheRef
from gtrans_core.network.scene import TileScenes
from gtrans_core.network.scorer import Scorer
from gtrans_core.network.tiling import Tiling
from gtrans_core.progress import Progress
from gtrans_core.training.closed_form import fit_closed_form, read_out_of_fold
from gtrans_core.training.split import Split, split_images
from gtrans_core.training.training_info import TrainingInfo


@dataclass(frozen=True)
class GoodImages:
    """The good images that a threshold comes from.

    Attributes:
        positions: those that what is packaged is tried on: held out of all learning, or, where the
            threshold is cross-fitted, new to Trans, as far as there are any.
    """

    features: Features
    config: GTransConfig
    split: Split
    positions: tuple[int, ...]
    copies: tuple[Features, ...] = ()
    """Of the same images in other light, where they were learnt from."""

    @classmethod
    def open(
        cls, reference: FeatureCacheRef, config: GTransConfig, info: TrainingInfo
    ) -> GoodImages:
        """Those that were held out; where none were, those that are new to Trans.

        Raises:
            DataError: when the cache is damaged, or not the one that the model was trained from.
        """
        features = reference.open(config.training.resident_mb)
        places = {digest: i for i, digest in enumerate(features.digests)}
        split = split_images(features.digests, config)
        wanted = info.held_out or tuple(features.digests[i] for i in split.new_to_trans)
        if info.cache_key != reference.key or not all(digest in places for digest in wanted):
            raise DataError(f"{reference.folder}: not the cache that this model was trained from")
        positions = tuple(places[digest] for digest in wanted)
        learnt = info.in_other_light
        copies = reference.open_in_other_light() if learnt else ()
        return cls(features, config, split, positions, copies)

    def view(self, position: int) -> npt.NDArray[np.uint8]:
        """One image as the network sees it [3, H, W]."""
        tiles = self.features.subset(tile_positions([position], self.features.tiles)).views
        return Tiling(self.config.image).paste(tiles).numpy()

    def views(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Those that what is packaged is tried on, one by one."""
        return map(self.view, self.positions)

    def cross_fitted(self, scorer: Scorer, progress: Progress) -> npt.NDArray[np.float64]:
        """Each image's reading with closed-form parts that lack its fold, [N, 2].

        Trans is the packaged one. Trained anew for each fold, it moved scores by a hundredth of
        their spread on metal_plate, in three trainings; no other category was measured.
        """

        per_tile = "yes" if isinstance(scorer.scene, TileScenes) else "no"
        of_all = self.config.scene.model_copy(update={"per_tile": per_tile})
        config = self.config.model_copy(update={"scene": of_all})

        def fit(positions: Sequence[int]) -> Callable[[int], tuple[float, float]]:
            scene, memory = fit_closed_form(self.features, positions, config, self.copies)
            one = Scorer(scorer.agn, scorer.trans, scene, config, memory)
            return lambda position: reading(one, self.view(position), config)

        return read_out_of_fold(
            self.split, fit, lambda done, all_: progress.advanced("images cross-fitted", done, all_)
        )

"""Scoring a test split, and its metrics: overall, and for each kind of defect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_view
from gtrans_core.data.manifest import GOOD, Manifest, Sample
from gtrans_core.data.mask_view import preprocess_mask
from gtrans_core.data.reading import read_image, read_mask
from gtrans_core.detector.engine import Engine
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.evaluation.metrics import au_pro, image_metrics, pixel_metrics, roc_auc, seg_f1

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "au_pro_30", "au_pro_05", "seg_f1")


@dataclass(frozen=True)
class Evaluation:
    """A scored test split, in content order.

    ``views`` uint8 [N, 3, H, W]; ``maps`` fp32 [N, H, W]; ``scores`` [N]; ``masks`` bool
    [N, H, W], or None for a data set without masks.
    """

    samples: tuple[Sample, ...]
    views: npt.NDArray[np.uint8]
    maps: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    masks: npt.NDArray[np.bool_] | None
    counted: npt.NDArray[np.bool_] | None = None
    """Where parts are judged [H, W]; None: everywhere."""
    undrawn: frozenset[int] = frozenset()
    """Positions of defective images that have no mask where others have one."""

    @property
    def labels(self) -> npt.NDArray[np.bool_]:
        """True where the image is defective, [N]."""
        return np.array([not s.is_good for s in self.samples], np.bool_)

    @property
    def defects(self) -> list[str]:
        """The kinds of defect in the split."""
        return sorted({s.defect for s in self.samples} - {GOOD})

    def positions(self, defect: str) -> npt.NDArray[np.intp]:
        """Where the images of one kind are (``good`` is a kind)."""
        return np.flatnonzero([s.defect == defect for s in self.samples])

    @property
    def has_both(self) -> bool:
        """Whether there are good and defective images, which image metrics compare."""
        return bool(self.labels.any() and not self.labels.all())

    def mask(self, position: int) -> npt.NDArray[np.bool_] | None:
        """What is defective in an image [H, W]; None where nobody drew it."""
        if self.masks is None or position in self.undrawn:
            return None
        mask: npt.NDArray[np.bool_] = self.masks[position]
        return mask

    @property
    def drawn(self) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
        """Masks and heat maps of the images whose defective pixels are known.

        Raises:
            ValueError: for a data set without masks.
        """
        if self.masks is None:
            raise ValueError("the data set has no masks")
        if not self.undrawn:  # nearly always, and then nothing is copied
            return self.masks, self.maps
        without = sorted(self.undrawn)
        return np.delete(self.masks, without, 0), np.delete(self.maps, without, 0)

    @property
    def shows_defects(self) -> bool:
        """Whether masks show some defect, which pixel metrics need; a crop may hide all."""
        return self.masks is not None and bool(self.masks.any())


def score_split(
    engine: Engine,
    manifest: Manifest,
    config: ImageConfig,
    on_progress: Callable[[int, int], None],
) -> Evaluation:
    """Decode, verify and score every image of a split; each score depends on its image alone.

    Raises:
        DataError: when an image or mask is gone, changed or damaged.
    """
    samples = manifest.in_content_order()
    count, shape = len(samples), config.view_shape
    views = np.empty((count, 3, *shape), np.uint8)
    maps = np.empty((count, *shape), np.float32)
    scores = np.empty(count, np.float64)
    masks = np.zeros((count, *shape), np.bool_) if manifest.has_masks else None
    for i, sample in enumerate(samples):
        views[i] = decode_view(read_image(manifest, sample), sample.path, config)
        maps[i], scores[i] = engine.score_view(views[i])
        mask = read_mask(manifest, sample)
        if masks is not None and mask is not None:
            masks[i] = preprocess_mask(mask, config)
        on_progress(i + 1, count)
    undrawn = frozenset(i for i, s in enumerate(samples) if not (s.is_good or s.mask))
    return Evaluation(samples, views, maps, scores, masks, config.inside, undrawn)


def split_metrics(evaluation: Evaluation, map_level: float) -> dict[str, float | None]:
    """All metrics of a split, on raw scores; None where the split cannot tell.

    Args:
        evaluation: the scored split.
        map_level: heat-map value from which on a pixel is unusual; from good images alone.
    """
    metrics: dict[str, float | None] = dict.fromkeys((*IMAGE_METRICS, *PIXEL_METRICS))
    if evaluation.has_both:
        metrics |= image_metrics(evaluation.labels, evaluation.scores)
    if evaluation.shows_defects:
        masks, maps = evaluation.drawn
        metrics |= pixel_metrics(masks, maps, evaluation.counted)
        metrics["seg_f1"] = seg_f1(masks, maps, map_level)
    return metrics


def defect_results(evaluation: Evaluation, threshold: float) -> list[DefectResult]:
    """How each kind of defect fares, the hardest first."""
    good = evaluation.positions(GOOD)
    results = [_defect_result(evaluation, d, good, threshold) for d in evaluation.defects]
    return sorted(results, key=lambda result: (result.image_auroc or 0.0, result.defect))


def _defect_result(
    evaluation: Evaluation, defect: str, good: npt.NDArray[np.intp], threshold: float
) -> DefectResult:
    own = evaluation.positions(defect)
    both = np.concatenate([good, own])
    masks = evaluation.masks
    au_pro_30 = None
    if masks is not None and masks[own].any():
        drawn = both[~np.isin(both, sorted(evaluation.undrawn))]
        au_pro_30 = au_pro(masks[drawn], evaluation.maps[drawn], counted=evaluation.counted)
    return DefectResult(
        defect=defect,
        images=len(own),
        caught=int((evaluation.scores[own] > threshold).sum()),
        image_auroc=roc_auc(evaluation.labels[both], evaluation.scores[both])
        if len(good)
        else None,
        au_pro_30=au_pro_30,
    )

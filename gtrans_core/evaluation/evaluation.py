"""Scoring a test split, and its metrics: overall, and for each kind of defect."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from gtrans_core.config import ImageConfig
from gtrans_core.data.images import decode_view
from gtrans_core.data.manifest import GOOD, Manifest, Sample
from gtrans_core.data.mask_view import preprocess_mask
from gtrans_core.data.reading import read_image, read_mask
from gtrans_core.detector.engine import Engine
from gtrans_core.evaluation.defect_result import DefectResult
from gtrans_core.evaluation.metrics import (
    Regions,
    au_pro,
    au_spro,
    image_metrics,
    pixel_metrics,
    roc_auc,
    seg_f1,
)
from gtrans_core.evaluation.regions import MaskRegions
from gtrans_core.storage import require_free_space, storage_error

IMAGE_METRICS = ("image_auroc", "image_ap", "image_f1_max")
PIXEL_METRICS = ("pixel_auroc", "pixel_ap", "pixel_f1_max", "au_pro_30", "au_pro_05", "seg_f1")


class Views(Protocol):
    """What the network saw of each image, uint8 [3, H, W]; an array [N, 3, H, W] is one."""

    def __getitem__(self, position: int, /) -> npt.NDArray[np.uint8]:
        """Of the image at a position."""


@dataclass(frozen=True)
class DecodedViews:
    """Views that are decoded anew whenever they are asked for: few of a split are drawn."""

    manifest: Manifest
    samples: tuple[Sample, ...]
    config: ImageConfig

    def __getitem__(self, position: int, /) -> npt.NDArray[np.uint8]:
        """Of the image at a position.

        Raises:
            DataError: when the image is gone, changed or damaged.
        """
        sample = self.samples[position]
        return decode_view(read_image(self.manifest, sample), sample.path, self.config)


@dataclass(frozen=True)
class Evaluation:
    """A scored test split, in content order.

    ``maps`` fp32 [N, H, W]; ``scores`` [N]; ``masks`` bool [N, H, W], or None for a data set
    without masks. Maps and masks may be memory-mapped files: read them image by image.
    """

    samples: tuple[Sample, ...]
    views: Views
    maps: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    masks: npt.NDArray[np.bool_] | None
    counted: npt.NDArray[np.bool_] | None = None
    """Where parts are judged [H, W]; None: everywhere."""
    undrawn: frozenset[int] = frozenset()
    """Positions of defective images that have no mask where others have one."""
    left_out: tuple[Sample, ...] = ()
    """Defective images whose every defect lies where nothing is judged: they count for nothing."""
    regions: Regions | None = None
    """Regions of which a share counts as all (sPRO); None where no mask says so."""

    def judged_share(self, marks: npt.NDArray[np.bool_]) -> float:
        """Share that is marked of what is judged, 0 to 1; ``marks`` are [H, W]."""
        return float((marks if self.counted is None else marks[self.counted]).mean())

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
    def drawn(self) -> list[int]:
        """Positions of the images whose defective pixels are known."""
        return [i for i in range(len(self.samples)) if i not in self.undrawn]

    @property
    def shows_defects(self) -> bool:
        """Whether masks show some defect, which pixel metrics need; a crop may hide all."""
        return self.masks is not None and bool(self.masks.any())


def score_split(
    engine: Engine,
    manifest: Manifest,
    config: ImageConfig,
    folder: Path,
    on_progress: Callable[[int, int], None],
) -> Evaluation:
    """Decode, verify and score every image of a split; each score depends on its image alone.

    Args:
        engine: what scores.
        manifest: the split.
        config: how images become the network's input.
        folder: takes the heat maps, 4 bytes a pixel of the view, and the masks of defective
            images, 1 byte; it must outlive the result. Memory holds an image at a time.
        on_progress: called with (images scored, images in all) after each image.

    Raises:
        DataError: when an image or mask is gone, changed or damaged.
        StorageError: when there is no room in the folder.
    """
    samples = manifest.in_content_order()
    count, shape = len(samples), config.view_shape
    defective = sum(not s.is_good for s in samples) if manifest.has_masks else 0
    needed = math.prod(shape) * (4 * count + defective)
    folder.mkdir(parents=True, exist_ok=True)
    require_free_space(folder, needed, f"heat maps of {count} test images (TMPDIR names it)")
    maps = _on_disk(folder / "maps", np.float32, (count, *shape))
    _reserve(maps, slice(None))
    masks = _on_disk(folder / "masks", np.bool_, (count, *shape)) if manifest.has_masks else None
    kept: list[Sample] = []
    left_out: list[Sample] = []
    scores: list[float] = []
    for i, sample in enumerate(samples):
        view = decode_view(read_image(manifest, sample), sample.path, config)
        marked = read_mask(manifest, sample)
        seen = None if masks is None or marked is None else preprocess_mask(marked, config)
        if _is_outside(marked, seen, config):
            left_out.append(sample)
        else:
            place = len(kept)
            maps[place], score = engine.score_view(view)
            if masks is not None and seen is not None:
                _reserve(masks, slice(place, place + 1))
                masks[place] = seen
            kept.append(sample)
            scores.append(score)
        on_progress(i + 1, count)
    undrawn = frozenset(i for i, s in enumerate(kept) if not (s.is_good or s.mask))
    regions = MaskRegions(manifest, tuple(kept), config)
    return Evaluation(
        tuple(kept),
        DecodedViews(manifest, tuple(kept), config),
        maps[: len(kept)],
        np.array(scores, np.float64),
        None if masks is None else masks[: len(kept)],
        config.inside,
        undrawn,
        tuple(left_out),
        regions if regions.are_known else None,
    )


def _is_outside(
    marked: npt.NDArray[np.bool_] | None, seen: npt.NDArray[np.bool_] | None, config: ImageConfig
) -> bool:
    """Whether a defect lies, all of it, where nothing is judged."""
    if config.region is None or marked is None or seen is None:
        return False
    return bool(marked.any() and not seen.any())


def _on_disk(path: Path, kind: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Zeros in a memory-mapped file, which takes room where it is reserved; [] needs none."""
    if 0 in shape:
        return np.zeros(shape, kind)
    return np.memmap(path, kind, "w+", shape=shape)


def _reserve(planes: npt.NDArray[Any], images: slice) -> None:
    """Take room for images: a write into a mapped file on a full disk ends the process (SIGBUS).

    Raises:
        StorageError: when there is none.
    """
    if not isinstance(planes, np.memmap):
        return
    first, last, _ = images.indices(len(planes))
    size, path = planes[0].nbytes, Path(str(planes.filename))
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), first * size, (last - first) * size)
    except OSError as error:
        raise storage_error(path, error, needed=(last - first) * size) from None


def split_metrics(evaluation: Evaluation, map_level: float) -> dict[str, float | None]:
    """All metrics of a split, on raw scores; None where the split cannot tell.

    Args:
        evaluation: the scored split.
        map_level: heat-map value from which on a pixel is unusual; from good images alone.
    """
    metrics: dict[str, float | None] = dict.fromkeys((*IMAGE_METRICS, *PIXEL_METRICS))
    if evaluation.has_both:
        metrics |= image_metrics(evaluation.labels, evaluation.scores)
    if evaluation.masks is not None and evaluation.shows_defects:
        masks, maps, drawn = evaluation.masks, evaluation.maps, evaluation.drawn
        metrics |= pixel_metrics(masks, maps, evaluation.counted, drawn)
        metrics["seg_f1"] = seg_f1(masks, maps, map_level, drawn)
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
    au_pro_30, saturated = None, {}
    if masks is not None and any(masks[i].any() for i in own):
        drawn = [i for i in both.tolist() if i not in evaluation.undrawn]
        maps, counted = evaluation.maps, evaluation.counted
        au_pro_30 = au_pro(masks, maps, counted=counted, images=drawn)
        if evaluation.regions is not None:
            saturated = au_spro(masks, maps, evaluation.regions, counted, drawn)
    return DefectResult(
        defect=defect,
        images=len(own),
        caught=int((evaluation.scores[own] > threshold).sum()),
        image_auroc=roc_auc(evaluation.labels[both], evaluation.scores[both])
        if len(good)
        else None,
        au_pro_30=au_pro_30,
        **saturated,
    )

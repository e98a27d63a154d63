"""Numbers that others published, to set ours beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """What somebody reports on a data set: by metric, then by category."""

    what: str
    metrics: Mapping[str, Mapping[str, float]]
    caveats: tuple[str, ...]
    """What a reader must know before comparing."""


_IMAGE_AND_PIXEL_AUROC = {
    "carpet": (1.000, 0.989),
    "grid": (0.986, 0.987),
    "leather": (1.000, 0.994),
    "tile": (0.990, 0.953),
    "wood": (0.996, 0.971),
    "bottle": (1.000, 0.981),
    "cable": (0.997, 0.965),
    "capsule": (0.964, 0.983),
    "hazelnut": (1.000, 0.984),
    "metal_nut": (0.993, 0.971),
    "pill": (0.952, 0.986),
    "screw": (0.954, 0.986),
    "toothbrush": (1.000, 0.984),
    "transistor": (0.976, 0.926),
    "zipper": (0.991, 0.986),
}

GTRANS_ON_MVTEC = Published(
    what="the log that the authors of GTrans (arXiv 2305.14880) publish of their ResNet-18 variant",
    metrics={
        "image_auroc": {name: image for name, (image, _) in _IMAGE_AND_PIXEL_AUROC.items()},
        "pixel_auroc": {name: pixel for name, (_, pixel) in _IMAGE_AND_PIXEL_AUROC.items()},
    },
    caveats=(
        "their weights come from the whole test batch, sorted by defect, so labels help them",
        "their images are resized to 256 x 256 and cropped to 224 x 224",
        "their abstract claims 99.0 / 97.9 % image / pixel AUROC for the whole of MVTec AD",
    ),
)

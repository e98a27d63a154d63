"""Reading what a manifest lists, wherever it lives, and only if it is still what was ingested."""

from __future__ import annotations

import hashlib

import numpy as np

from gtrans_core.config import MOST_MEGAPIXELS
from gtrans_core.data.images import MaskArray
from gtrans_core.data.manifest import Manifest, MaskFile, Sample
from gtrans_core.data.masks import decode_mask
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import open_store


def read_image(manifest: Manifest, sample: Sample) -> bytes:
    """The encoded image of a sample.

    Raises:
        DataError: when it is gone or its bytes have changed since ingest.
    """
    return _read(manifest, sample.path, sample.sha256)


def read_mask(manifest: Manifest, sample: Sample) -> MaskArray | None:
    """What is defective in a sample, bool [H, W], by all its masks; None where there is none.

    Raises:
        DataError: when a mask is gone, its bytes have changed since ingest, or it is not a mask.
    """
    masks = [_read_mask(manifest, mask) for mask in sample.masks]
    return np.logical_or.reduce(masks) if masks else None


def read_regions(manifest: Manifest, sample: Sample) -> list[tuple[MaskArray, float]]:
    """What each mask of a sample marks, bool [H, W], with the share that counts as all of it.

    None of those that do not say how much is enough. Errors are those of ``read_mask``.
    """
    return [
        (_read_mask(manifest, mask), mask.saturation)
        for mask in sample.masks
        if mask.saturation is not None
    ]


def _read_mask(manifest: Manifest, mask: MaskFile) -> MaskArray:
    data = _read(manifest, mask.path, mask.sha256)
    return decode_mask(data, mask.path, MOST_MEGAPIXELS)


def _read(manifest: Manifest, path: str, sha256: str) -> bytes:
    try:
        data = open_store(manifest.root).read(path)
    except StorageError as error:
        raise DataError(f"{path}: listed at ingest, cannot be read now ({error})") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{manifest.root}/{path}: changed since ingest; run the pipeline again")
    return data

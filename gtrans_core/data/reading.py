"""Reading what a manifest lists, wherever it lives, and only if it is still what was ingested."""

from __future__ import annotations

import hashlib

from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import open_store


def read_image(manifest: Manifest, sample: Sample) -> bytes:
    """The encoded image of a sample.

    Raises:
        DataError: when it is gone or its bytes have changed since ingest.
    """
    return _read(manifest, sample.path, sample.sha256)


def read_mask(manifest: Manifest, sample: Sample) -> bytes | None:
    """The encoded mask of a sample; None where there is none.

    Raises:
        DataError: when it is gone or its bytes have changed since ingest.
    """
    if sample.mask is None or sample.mask_sha256 is None:
        return None
    return _read(manifest, sample.mask, sample.mask_sha256)


def _read(manifest: Manifest, path: str, sha256: str) -> bytes:
    try:
        data = open_store(manifest.root).read(path)
    except StorageError as error:
        raise DataError(f"{path}: listed at ingest, cannot be read now ({error})") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DataError(f"{manifest.root}/{path}: changed since ingest; run the pipeline again")
    return data

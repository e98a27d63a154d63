"""Large objects in parts, several at a time, by boto3's own transfer."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from s3transfer.exceptions import RetriesExceededError

from gtrans_core.storage.retry import TransientError
from gtrans_core.storage.s3_errors import condition_failed

IN_PARTS_FROM = 64 << 20
"""Bytes from which an object is moved in parts; below, one request is as quick."""
PART = 16 << 20
"""Bytes of a part."""
PARTS_AT_ONCE = 8


def get_parts(client: Any, bucket: str, key: str, file: BinaryIO) -> None:
    """Write a large object into a file.

    A part whose connection breaks is asked for once more by itself. Each part is asked for on
    condition that the object is still the same (``If-Match``).

    Raises:
        TransientError: when a part broke off twice, or the object changed.
        BotoCoreError, ClientError: as the server answers.
    """
    try:
        client.download_fileobj(bucket, key, file, Config=_transfer())
    except RetriesExceededError as error:
        raise TransientError(f"a part broke off ({type(error.last_exception).__name__})") from None
    except ClientError as error:
        if condition_failed(error):
            raise TransientError("the object changed while it was read") from None
        raise


def put_parts(client: Any, bucket: str, key: str, data: bytes, metadata: Mapping[str, str]) -> None:
    """Write a large object, each part with its sha256; it appears whole at the end or not at all.

    Raises:
        BotoCoreError, ClientError: as the server answers.
    """
    extra = {"ChecksumAlgorithm": "SHA256", "Metadata": metadata}
    client.upload_fileobj(io.BytesIO(data), bucket, key, Config=_transfer(), ExtraArgs=extra)


def _transfer() -> TransferConfig:
    return TransferConfig(
        multipart_threshold=IN_PARTS_FROM,
        multipart_chunksize=PART,
        max_concurrency=PARTS_AT_ONCE,
        num_download_attempts=2,
    )

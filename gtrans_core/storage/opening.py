"""Which kind of store a URI names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from gtrans_core.errors import StorageError
from gtrans_core.storage.local import LocalStore
from gtrans_core.storage.store import Store, without_secrets


def open_store(uri: str) -> Store:
    """The store that ``s3://bucket/prefix``, ``file:///path`` or a plain path names.

    Raises:
        StorageError: for another kind of URI.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return LocalStore(Path(uri))
    if scheme == "s3":
        # Imported on use: boto3 takes half a second.
        from gtrans_core.storage.s3 import S3Store

        return S3Store(uri)
    if scheme == "file":
        return LocalStore(Path(unquote(urlsplit(uri).path)))
    raise StorageError(
        f"{without_secrets(uri)}: no such kind of store; expected a folder or s3://bucket/prefix"
    )

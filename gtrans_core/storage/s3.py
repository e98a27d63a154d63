"""A bucket's prefix as a store, through boto3: AWS, MinIO, SeaweedFS, Ceph.

Credentials, region and endpoint come from where boto3 looks (``AWS_ENDPOINT_URL_S3``,
``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, profiles, ...); ``GTRANS_S3_ADDRESSING`` sets the
addressing style. boto3's own retries are off: ``retry.py`` is the only policy.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gtrans_core.errors import ConfigError, StorageError
from gtrans_core.storage.atomic import replacing
from gtrans_core.storage.retry import RetryPolicy, TransientError, retrying
from gtrans_core.storage.s3_errors import is_already_there, is_missing_object, translated
from gtrans_core.storage.store import Entry, checked_name, without_secrets

ADDRESSING_VARIABLE = "GTRANS_S3_ADDRESSING"
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
MAX_CONNECTIONS = 16
_CHUNK = 1 << 20
_MD5 = re.compile(r"[0-9a-f]{32}")

T = TypeVar("T")


class S3Store:
    """Objects below ``s3://bucket/prefix`` (see ``Store`` for the verbs). Threads may share one.

    Raises:
        StorageError: for a URI without a bucket, or unusable AWS settings.
        ConfigError: for an unknown addressing style.
    """

    def __init__(self, uri: str, policy: RetryPolicy | None = None) -> None:
        self.bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        if not self.bucket:
            raise StorageError(f"{uri}: names no bucket; expected s3://bucket/prefix")
        self._policy = policy
        try:
            self._client = _client(_settings())
        except BotoCoreError as error:
            raise StorageError(f"{uri}: unusable AWS settings ({error})") from None
        except ValueError:
            raise StorageError(f"{uri}: AWS_ENDPOINT_URL is not a valid address") from None
        self._endpoint = without_secrets(self._client.meta.endpoint_url)

    def read(self, name: str) -> bytes:
        """All of an object, compared with its length and, where that is an MD5, its ETag."""
        return self._retrying(name, lambda: b"".join(self._body(self._key(name))))

    def write(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write an object; with ``overwrite`` off by a conditional put (``If-None-Match: *``)."""
        key, md5 = self._key(name), hashlib.md5(data, usedforsecurity=False)
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        content_md5 = base64.b64encode(md5.digest()).decode("ascii")
        attempts = 0

        def put() -> bool:
            nonlocal attempts
            attempts += 1
            try:
                self._client.put_object(
                    Bucket=self.bucket, Key=key, Body=data, ContentMD5=content_md5, **condition
                )
            except ClientError as error:
                if not is_already_there(error):
                    raise
                # Our own first try may have arrived, and only its answer got lost.
                return attempts > 1 and self._etag(key) == md5.hexdigest()
            return True

        return self._retrying(name, put)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._retrying(name, lambda: self._etag(self._key(name)) is not None)

    def list(self, prefix: str = "") -> Sequence[Entry]:
        """Every object whose name starts with ``prefix``, by name (folder markers left out)."""
        pages = self._pages(self.prefix + prefix)
        entries = (self._entry(item) for page in pages for item in page.get("Contents", ()))
        return sorted((e for e in entries if not e.name.endswith("/")), key=lambda e: e.name)

    def folders(self) -> Sequence[str]:
        """Names of the folders (common prefixes) right below the root."""
        pages = self._pages(self.prefix, Delimiter="/")
        found = (item["Prefix"] for page in pages for item in page.get("CommonPrefixes", ()))
        return sorted(prefix.removeprefix(self.prefix).rstrip("/") for prefix in found)

    def download(self, name: str, path: Path) -> None:
        """Copy an object to a local path, where it appears complete and checked or not at all."""

        def fetch() -> None:
            with replacing(path) as file:
                for chunk in self._body(self._key(name)):
                    file.write(chunk)

        self._retrying(name, fetch)

    def _body(self, key: str) -> Iterator[bytes]:
        """An object's bytes in chunks; ends well only when they are all there and unchanged."""
        size, md5 = 0, hashlib.md5(usedforsecurity=False)
        answer = self._client.get_object(Bucket=self.bucket, Key=key)
        # Translated here: some of botocore's timeouts are OSErrors, which would look like the
        # disk's fault to whoever writes the chunks.
        try:
            with contextlib.closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(_CHUNK):
                    size += len(chunk)
                    md5.update(chunk)
                    yield chunk
        except BotoCoreError as error:
            raise translated(self._url(key), self._endpoint, error) from None
        if size != answer["ContentLength"]:
            raise TransientError(f"{size:,} of {answer['ContentLength']:,} bytes came")
        promised = _plain_md5(answer)
        if promised is not None and promised != md5.hexdigest():
            raise TransientError("the bytes that came do not match the object's ETag")

    def _etag(self, key: str) -> str | None:
        """The object's ETag; None when there is no such object."""
        try:
            answer = self._client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing_object(error):
                return None
            raise
        return str(answer["ETag"]).strip('"')

    def _pages(self, prefix: str, **options: str) -> Sequence[Mapping[str, Any]]:
        paginator = self._client.get_paginator("list_objects_v2")
        return self._retrying(
            "", lambda: [*paginator.paginate(Bucket=self.bucket, Prefix=prefix, **options)]
        )

    def _retrying(self, name: str, attempt: Callable[[], T]) -> T:
        url = self._url(self.prefix + name)

        def translating() -> T:
            try:
                return attempt()
            except (BotoCoreError, ClientError) as error:
                raise translated(url, self._endpoint, error) from None

        return retrying(f"{url} at {self._endpoint}", translating, self._policy)

    def _entry(self, item: Mapping[str, Any]) -> Entry:
        name = str(item["Key"]).removeprefix(self.prefix)
        return Entry(name=name, size=int(item["Size"]), etag=str(item["ETag"]).strip('"'))

    def _key(self, name: str) -> str:
        return self.prefix + checked_name(name)

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


def _settings() -> tuple[tuple[str, str], ...]:
    """The part of the environment that decides how a client is made."""
    names = (n for n in os.environ if n.startswith("AWS_") or n == ADDRESSING_VARIABLE)
    return tuple((name, os.environ[name]) for name in sorted(names))


@functools.cache
def _client(settings: tuple[tuple[str, str], ...]) -> Any:
    """One client (and one pool of connections) a process for the same settings."""
    style = dict(settings).get(ADDRESSING_VARIABLE, "auto")
    if style not in ("auto", "path", "virtual"):
        raise ConfigError(f"{ADDRESSING_VARIABLE}={style}: expected auto, path or virtual")
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"total_max_attempts": 1},
        s3={"addressing_style": style},
        # Uploads carry a Content-MD5, which every S3 checks; newer checksums break older stores.
        request_checksum_calculation="when_required",
    )
    return boto3.session.Session().client("s3", config=config)


def _plain_md5(answer: Mapping[str, Any]) -> str | None:
    """An object's MD5, where its ETag is that (not for multipart or KMS-encrypted objects)."""
    etag = str(answer.get("ETag", "")).strip('"')
    encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256"
    if encrypted or "SSECustomerAlgorithm" in answer or not _MD5.fullmatch(etag):
        return None
    return etag

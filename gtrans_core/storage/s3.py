"""A bucket's prefix as a store, through boto3: AWS, MinIO, SeaweedFS, Ceph.

What is written carries its MD5 and its sha256, which servers compare, and the sha256 once more as
metadata, which every server keeps: reading compares it. ``s3_client`` says where credentials and
endpoint come from.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from gtrans_core.errors import StorageError
from gtrans_core.storage import s3_parts
from gtrans_core.storage.atomic import replacing
from gtrans_core.storage.retry import RetryPolicy, retrying
from gtrans_core.storage.s3_client import aws_variables, make_client
from gtrans_core.storage.s3_digests import SHA256_NOTE, checked, md5, noted_sha256
from gtrans_core.storage.s3_errors import (
    ForeignAnswerError,
    condition_failed,
    is_missing_object,
    translated,
)
from gtrans_core.storage.store import (
    MOST_READ,
    Entry,
    checked_name,
    require_as_listed,
    require_at_most,
    without_secrets,
)

_CHUNK = 1 << 20

T = TypeVar("T")


class S3Store:
    """Objects below ``s3://bucket/prefix`` (see ``Store`` for the verbs). Threads may share one.

    Args:
        uri: ``s3://bucket/prefix``.
        policy: how long to try; by default from the environment.
        endpoint: address of the server; by default what the environment says.
        client: of boto3's, made elsewhere; by default one as the environment says.

    Raises:
        StorageError: for a URI without a bucket, or unusable AWS settings.
        ConfigError: for an unknown addressing style.
    """

    def __init__(
        self,
        uri: str,
        policy: RetryPolicy | None = None,
        endpoint: str | None = None,
        client: Any = None,
    ) -> None:
        self.bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        if not self.bucket:
            raise StorageError(f"{uri}: names no bucket; expected s3://bucket/prefix")
        self._policy = policy
        try:
            self._variables = aws_variables()
            self._client = client or make_client(self._variables, endpoint=endpoint)
        except BotoCoreError as error:
            raise StorageError(f"{uri}: unusable AWS settings ({error})") from None
        except ValueError:
            raise StorageError(f"{uri}: AWS_ENDPOINT_URL is not a valid address") from None
        self._endpoint = without_secrets(self._client.meta.endpoint_url)

    def require_readable(self) -> None:
        """Ask for one name, to know that server, bucket and credentials are right.

        Raises:
            StorageError: when they are not, or the server does not answer (``passing``).
        """
        one: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix, "MaxKeys": 1}
        self._retrying("", lambda: self._client.list_objects_v2(**one))

    def read(self, name: str, most: int = MOST_READ) -> bytes:
        """All of an object, whose length, ETag (where an MD5) and sha256 (where noted) fit."""
        key = self._key(name)

        def fetch() -> bytes:
            answer = self._get(key)
            with contextlib.closing(answer["Body"]):
                require_at_most(self._url(key), answer["ContentLength"], most)
                return b"".join(self._body(key, answer))

        return self._retrying(name, fetch)

    def write(self, name: str, data: bytes, *, overwrite: bool = True) -> bool:
        """Write an object; with ``overwrite`` off on condition that it is new (``If-None-Match``).

        A large one goes in parts.
        """
        key, tries = self._key(name), itertools.count(1)

        def put() -> bool:
            attempt = next(tries)
            try:
                if len(data) >= s3_parts.IN_PARTS_FROM:
                    client = make_client(self._variables, only_new=not overwrite)
                    s3_parts.put_parts(client, self.bucket, key, data, _note_of(data))
                else:
                    self._put(key, data, {} if overwrite else {"IfNoneMatch": "*"})
            except ClientError as error:
                if not condition_failed(error):
                    raise
                # Our own first try may have arrived, and only its answer got lost.
                return attempt > 1 and noted_sha256(self._head(key)) == _sha256(data)
            return True

        return self._retrying(name, put)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._retrying(name, lambda: bool(self._head(self._key(name))))

    def list(self, prefix: str = "") -> Sequence[Entry]:
        """Every object whose name starts with ``prefix``, by name (folder markers left out)."""
        found = self._listed(self.prefix + prefix, self._entries)
        return sorted((e for e in found if not e.name.endswith("/")), key=lambda e: e.name)

    def folders(self) -> Sequence[str]:
        """Names of the folders (common prefixes) right below the root."""
        found = self._listed(self.prefix, _prefixes, Delimiter="/")
        return sorted(prefix.removeprefix(self.prefix).rstrip("/") for prefix in found)

    def download(self, name: str, path: Path, listed: Entry | None = None) -> None:
        """Copy an object to a local path, where it appears complete and checked or not at all.

        A large one comes in parts.
        """
        key = self._key(name)

        def fetch() -> None:
            answer = self._get(key)
            etag = str(answer.get("ETag", "")).strip('"')
            with contextlib.ExitStack() as unless_refused:
                unless_refused.callback(answer["Body"].close)
                require_as_listed(self._url(key), answer["ContentLength"], etag, listed)
                unless_refused.pop_all()
            with replacing(path, size=answer["ContentLength"]) as file:
                if answer["ContentLength"] >= s3_parts.IN_PARTS_FROM:
                    answer["Body"].close()
                    self._receive_parts(key, answer, file)
                else:
                    for chunk in self._body(key, answer):
                        file.write(chunk)

        self._retrying(name, fetch)

    def _put(self, key: str, data: bytes, condition: Mapping[str, str]) -> None:
        """Write an object in one request, with its digests for the server to check."""
        self._client.put_object(
            Bucket=self.bucket,
            Key=key,
            Body=data,
            ContentMD5=_base64(md5(data).digest()),
            ChecksumSHA256=_base64(hashlib.sha256(data).digest()),
            Metadata=_note_of(data),
            **condition,
        )

    def _get(self, key: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = self._client.get_object(Bucket=self.bucket, Key=key)
        return answer

    def _body(self, key: str, answer: Mapping[str, Any]) -> Iterator[bytes]:
        """An object's bytes in chunks; ends well only when they are all there and unchanged."""
        with self._translating(key), contextlib.closing(answer["Body"]) as body:
            yield from checked(answer, body.iter_chunks(_CHUNK))

    def _receive_parts(self, key: str, answer: Mapping[str, Any], file: BinaryIO) -> None:
        """A large object's bytes into a file; ends well as ``_body`` does."""
        with self._translating(key):
            s3_parts.get_parts(self._client, self.bucket, key, file)
        file.flush()
        with Path(file.name).open("rb") as written:
            for _ in checked(answer, iter(lambda: written.read(_CHUNK), b"")):
                pass

    @contextlib.contextmanager
    def _translating(self, key: str) -> Iterator[None]:
        """Some of botocore's errors are OSErrors too: within a file they would seem the disk's."""
        try:
            yield
        except (BotoCoreError, ForeignAnswerError) as error:
            raise translated(self._url(key), self._endpoint, error) from None

    def _head(self, key: str) -> Mapping[str, Any]:
        """What is known of an object; empty when there is no such object."""
        try:
            answer: Mapping[str, Any] = self._client.head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if is_missing_object(error):
                return {}
            raise
        return answer

    def _listed(
        self, prefix: str, of_page: Callable[[Mapping[str, Any]], Iterable[T]], **options: str
    ) -> Sequence[T]:
        """What all pages of a listing hold; a page itself is forgotten when the next one comes."""
        paginator = self._client.get_paginator("list_objects_v2")

        def look() -> list[T]:
            pages = paginator.paginate(Bucket=self.bucket, Prefix=prefix, **options)
            return [one for page in pages for one in of_page(page)]

        return self._retrying("", look)

    def _retrying(self, name: str, attempt: Callable[[], T]) -> T:
        url = self._url(self.prefix + name)

        def translating() -> T:
            try:
                return attempt()
            except Exception as error:  # noqa: BLE001 - the client raises more than its own
                raise translated(url, self._endpoint, error) from None

        return retrying(f"{url} at {self._endpoint}", translating, self._policy)

    def _entries(self, page: Mapping[str, Any]) -> Iterator[Entry]:
        for item in page.get("Contents", ()):
            name = str(item["Key"]).removeprefix(self.prefix)
            yield Entry(name=name, size=int(item["Size"]), etag=str(item["ETag"]).strip('"'))

    def _key(self, name: str) -> str:
        return self.prefix + checked_name(name)

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"


def _prefixes(page: Mapping[str, Any]) -> Iterator[str]:
    return (str(item["Prefix"]) for item in page.get("CommonPrefixes", ()))


def _note_of(data: bytes) -> dict[str, str]:
    return {SHA256_NOTE: _sha256(data)}


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")

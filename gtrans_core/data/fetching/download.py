"""One file over HTTP, resumed where it broke off, checked, and under its name only when complete.

urllib3: in the lock already (boto3 stands on it), typed, and its responses stream and check their
length. Proxies are taken from the environment as the standard library does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)
from urllib3.response import BaseHTTPResponse

from gtrans_core.errors import DataError, StorageError
from gtrans_core.storage import (
    RetryPolicy,
    TransientError,
    exclusive,
    require_free_space,
    retrying,
    sha256_file,
    storage_error,
    without_secrets,
    write_atomic,
)
from gtrans_core.storage.documents import parse_json
from gtrans_core.storage.timed import give_deadlines

CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
_CHUNK = 1 << 16
# An attempt that brought this much made progress: the retry budget starts anew after it.
_PROGRESS_BYTES = 1 << 20
_TRANSIENT_STATUS = (408, 425, 429)
# The first that fits: the special kinds stand before the general ones.
_BROKEN: tuple[tuple[type[HTTPError], str], ...] = (
    (NameResolutionError, "its host name cannot be resolved"),
    (NewConnectionError, "no connection"),
    (ConnectTimeoutError, "no connection in time"),
    (ReadTimeoutError, "no bytes in time"),
    (ProxyError, "the proxy gives no connection"),
    (ProtocolError, "the connection broke"),
)


def download(
    url: str,
    path: Path,
    *,
    on_progress: Callable[[int, int], None],
    sha256: str = "",
    advice: str = "check the address",
    policy: RetryPolicy | None = None,
) -> str:
    """Fetch a file, unless it is there already. Unfinished bytes wait in ``NAME.part``.

    Resuming asks for the missing range on condition that the server's file is still the same
    (``If-Range``); a server that cannot do that sends everything again.

    Args:
        url: http or https.
        path: where the file appears once it is complete and checked.
        on_progress: called with the bytes here and the bytes in all (0: the server did not say).
        sha256: hex digest the file must have; empty: any.
        advice: what to do when the server refuses.
        policy: how long to try without progress; by default from the environment.

    Returns:
        The file's sha256 (hex).

    Raises:
        DataError: when the digest is another one (the file is deleted).
        StorageError: when the server refuses, does not answer within the budget, or the disk is
            full.
    """
    with exclusive(path):
        if path.is_file():
            found = sha256_file(path)
            if sha256 in ("", found):
                return found
            path.unlink()
        transfer = _Transfer(url, path, on_progress, advice)
        while not transfer.is_complete:
            retrying(transfer.shown, transfer.attempt, policy)
        return transfer.finish(sha256)


class _Transfer:
    """A ``.part`` file on its way, and beside it what the server said it is part of."""

    def __init__(
        self, url: str, path: Path, on_progress: Callable[[int, int], None], advice: str
    ) -> None:
        self.shown = without_secrets(url)
        self._url = url
        self._path = path
        self._part = path.with_name(path.name + ".part")
        self._origin = path.with_name(path.name + ".part.json")
        self._on_progress = on_progress
        self._advice = advice
        self._http = _pool(url)
        self._most = self._size()
        self._reported = 0

    @property
    def is_complete(self) -> bool:
        """Whether all the bytes the server promised are here."""
        total = self._known_origin().get("total")
        return total is not None and self._size() == total

    def attempt(self) -> None:
        """Fetch what is missing in one request; returns if any bytes came, even if it broke off.

        Raises:
            TransientError: when no bytes came and trying again may help.
            StorageError: when it would not.
        """
        origin = self._known_origin()
        have = self._size() if origin.get("validator") else 0
        headers = {"Accept-Encoding": "identity", "User-Agent": "gtrans"}
        if have:
            headers |= {"Range": f"bytes={have}-", "If-Range": origin["validator"]}
        with self._request(headers) as response:
            if response.status == 206 and have and _continues(response, have, origin):
                self._receive(response, have, origin["total"])
            elif response.status == 200:
                self._receive(response, 0, self._start_anew(response))
            else:
                self._forget()
                raise TransientError("the server's file has changed")

    def finish(self, sha256: str) -> str:
        """Check the digest and give the file its name."""
        found = sha256_file(self._part)
        if sha256 not in ("", found):
            self._forget()
            raise DataError(
                f"{self.shown}: has sha256 {found}, expected {sha256}; the file was deleted, "
                f"{self._advice}"
            )
        try:
            self._part.replace(self._path)
            self._origin.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(self._path, error, needed=0) from None
        return found

    def _request(self, headers: dict[str, str]) -> BaseHTTPResponse:
        try:
            response = self._http.request(
                "GET",
                self._url,
                headers=headers,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
                retries=urllib3.Retry(total=None, connect=0, read=0, other=0, redirect=5),
            )
        except HTTPError as error:
            raise self._meaning_of(error) from None
        if response.status in (200, 206, 416):
            return response
        response.close()
        said = f"the server answered {response.status} {response.reason or ''}".rstrip()
        if response.status >= 500 or response.status in _TRANSIENT_STATUS:
            raise TransientError(said)
        raise StorageError(f"{self.shown}: {said}; {self._advice}")

    def _meaning_of(self, error: HTTPError) -> TransientError | StorageError:
        cause = error.reason if isinstance(error, MaxRetryError) else error
        if isinstance(cause, SSLError):
            return StorageError(
                f"{self.shown}: its TLS certificate is not trusted; "
                "let SSL_CERT_FILE name your company's certificates"
            )
        for kind, meaning in _BROKEN:
            if isinstance(cause, kind):
                return TransientError(meaning)
        return StorageError(f"{self.shown}: cannot be fetched; {self._advice}")

    def _start_anew(self, response: BaseHTTPResponse) -> int | None:
        """Throw away what is here and note what the answer is; its size where it is known."""
        self._forget()
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        if total is not None:
            require_free_space(self._path.parent, total, self._path.name)
        self._note({"validator": _validator(response), "total": total})
        return total

    def _receive(self, response: BaseHTTPResponse, have: int, total: int | None) -> None:
        before = self._most
        try:
            with self._part.open("ab") as file:
                while chunk := response.read1(_CHUNK, decode_content=False):
                    file.write(chunk)
                    have += len(chunk)
                    self._report(have, total or 0)
        except HTTPError as error:
            fault = self._meaning_of(error)
        except OSError as error:
            raise storage_error(self._part, error, needed=(total or have) - have) from None
        else:
            if total is None:
                self._note({"validator": "", "total": have})
                return
            fault = TransientError(f"{have:,} of {total:,} bytes came")
        self._most = max(before, have)
        if have != total and self._most < before + _PROGRESS_BYTES:
            raise fault

    def _report(self, have: int, total: int) -> None:
        """Tell of every further mebibyte, not of every packet."""
        if have == total or have >= self._reported + _PROGRESS_BYTES:
            self._reported = have
            self._on_progress(have, total)

    def _size(self) -> int:
        return self._part.stat().st_size if self._part.is_file() else 0

    def _known_origin(self) -> dict[str, Any]:
        """What the ``.part`` is part of; nothing when that is not known, or another URL's."""
        try:
            origin = parse_json(self._origin.read_bytes())
        except (OSError, ValueError):
            return {}
        return origin if origin.get("url_sha256") == self._url_sha256() else {}

    def _note(self, origin: dict[str, Any]) -> None:
        text = json.dumps({"url_sha256": self._url_sha256(), **origin})
        write_atomic(self._origin, text.encode("utf-8"))

    def _forget(self) -> None:
        self._part.unlink(missing_ok=True)
        self._origin.unlink(missing_ok=True)

    def _url_sha256(self) -> str:
        """The URL itself may hold a password."""
        return hashlib.sha256(self._url.encode("utf-8")).hexdigest()


def _continues(response: BaseHTTPResponse, have: int, origin: dict[str, Any]) -> bool:
    """Whether a 206 answer starts where we stopped, in the same version of the file."""
    wanted = f"bytes {have}-{origin['total'] - 1}/{origin['total']}" if origin["total"] else ""
    return (
        response.headers.get("Content-Range") == wanted
        and _validator(response) == origin["validator"]
    )


def _validator(response: BaseHTTPResponse) -> str:
    """What tells this version of the file from another: a strong ETag, else its date."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _pool(url: str) -> urllib3.PoolManager:
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    pool = urllib3.PoolManager()
    if proxy and not proxy_bypass(parts.hostname or ""):
        user = urlsplit(proxy).netloc.rpartition("@")[0]
        login = urllib3.make_headers(proxy_basic_auth=user) if user else None
        pool = urllib3.ProxyManager(proxy, proxy_headers=login)
    give_deadlines(pool)
    return pool

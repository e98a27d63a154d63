"""Who is answered at all, and how much at a time: looked at before a route is."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gtrans.serving.crowd import Crowd
from gtrans.serving.pages import ASSETS
from gtrans.serving.refusals import Refusal
from gtrans_core.errors import ConfigError

TOKEN = "GTRANS_SERVE_TOKEN"  # noqa: S105  # nosec B105  # a name
"""Environment variable with the token that clients must show."""
_SHORTEST_TOKEN = 16
WITHOUT_TOKEN = frozenset({"/", "/docs", "/healthz", "/readyz", "/metrics"})
"""What answers without one: the pages, which ask for it, and what probes and Prometheus read."""
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d+)?")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Access:
    """Who is answered.

    Attributes:
        host_names: the names that the service goes by; None: any.
        token: what clients must show as ``Authorization: Bearer TOKEN``; empty: nothing.
    """

    host_names: frozenset[str] | None = None
    token: str = field(default="", repr=False)


def access_for(host: str, address: str, *, anybody: bool = False) -> Access:
    """Who is answered by a service that listens at an address.

    Args:
        host: as it was asked for.
        address: the one that was bound.
        anybody: whether others may be answered without a token.

    Raises:
        ConfigError: when other machines reach the address and there is no token, or the token in
            the environment is too short.
    """
    token = _token()
    if is_loopback(address):
        # Any other name is a web page's whose name was made to point here (DNS rebinding).
        return Access(frozenset({"localhost", "127.0.0.1", "::1", host.lower(), address}), token)
    if not token and not anybody:
        raise ConfigError(
            f"--host {host}: other machines can reach it, and there is no token; set {TOKEN} "
            "(openssl rand -hex 32), or answer everybody with --no-token"
        )
    return Access(None, token)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _token() -> str:
    token = os.environ.get(TOKEN)
    if token is None:
        return ""
    token = token.strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(
            f"{TOKEN}: expected at least {_SHORTEST_TOKEN} printable ASCII characters "
            "(openssl rand -hex 32)"
        )
    return token


class Gate:
    """Refuses requests before a route sees them, whatever their path (ASGI).

    Args:
        app: what answers the others.
        access: who is answered.
        crowd: whom there is no room for.
        connections: at a time; half of them are for requests with work in them, and a quarter more
            for those that wait to be told that there is no room.
        largest: bytes of a body; whoever announces more is not told to come back.
    """

    def __init__(
        self, app: ASGIApp, access: Access, crowd: Crowd, connections: int, largest: int
    ) -> None:
        self._app, self._access, self._crowd, self._largest = app, access, crowd, largest
        self._posts, self._most = max(1, connections // 2), 3 * connections // 4
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif scope["method"] in _READING:
            await self._app(scope, receive, send)
        elif self._has_no_room() and self._could_come_back(scope):
            too_many = self._under_way + self._crowd.waiting >= self._most
            await self._crowd.turn_away(scope, receive, send, at_once=too_many)
        else:
            self._under_way += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._under_way -= 1

    def _has_no_room(self) -> bool:
        return self._under_way >= self._posts or self._crowd.is_full()

    def _could_come_back(self, scope: Scope) -> bool:
        return int(Headers(scope=scope).get("content-length", 0)) <= self._largest

    def _refusal(self, scope: Scope) -> Refusal | None:
        headers = Headers(scope=scope)
        fault = _framing_fault(scope["http_version"], headers)
        if fault:
            return Refusal(400, fault)
        names, host = self._access.host_names, headers.get("host", "")
        if names is not None and _name(host) not in names:
            return Refusal(421, "this host name is not the service's; ask for localhost")
        reading = scope["method"] in _READING
        if not reading and _is_cross_origin(headers, host):
            return Refusal(403, "another site's page may not post here")
        path = scope["path"]
        is_open = reading and (path in WITHOUT_TOKEN or path.startswith(ASSETS))
        if not is_open and not self._shows_token(headers):
            reason = f"show the service's token: 'Authorization: Bearer ...' ({TOKEN})"
            return Refusal(401, reason, {"WWW-Authenticate": "Bearer"})
        return None

    def _shows_token(self, headers: Headers) -> bool:
        if not self._access.token:
            return True
        shown = headers.getlist("authorization")
        scheme, _, token = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
        same = hmac.compare_digest(token.strip().encode(), self._access.token.encode())
        return scheme.lower() == "bearer" and same


def _framing_fault(version: str, headers: Headers) -> str:
    """What leaves open where the request ends; a proxy in front could think otherwise."""
    lengths, codings = headers.getlist("content-length"), headers.getlist("transfer-encoding")
    if lengths and codings:
        return "Content-Length and Transfer-Encoding exclude each other"
    if codings and version == "1.0":
        return "HTTP/1.0 knows no Transfer-Encoding"
    if len(lengths) > 1 or not all(length.isdecimal() for length in lengths):
        return "Content-Length: expected one number"
    return ""


def _is_cross_origin(headers: Headers, host: str) -> bool:
    """Whether a browser says that another site's page sends this.

    Sites without TLS get no Sec-Fetch-Site, and anything but a browser sends neither.
    """
    sites = headers.getlist("sec-fetch-site")
    if sites:
        return not {"same-origin", "none"}.issuperset(sites)
    here = ("http://" + host.lower(), "https://" + host.lower())
    return any(origin.lower() not in here for origin in headers.getlist("origin"))


def _name(host: str) -> str:
    """A Host header's name, without its port; empty where it is none."""
    found = _HOST.fullmatch(host.lower())
    return found[1].strip("[]") if found else ""

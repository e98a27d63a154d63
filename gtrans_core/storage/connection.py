"""What broke a conversation with a server, in plain words, and whether waiting may mend it.

Each client library wraps the same few faults in exceptions of its own: they are found inside.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass

_DEEPEST = 8
_EXPIRED, _NOT_YET_VALID = 10, 9
_OTHER_NAMES = (62, 64)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE")
_BY_NAME = {
    # By name: neither requests nor urllib3 is imported for it.
    "TooManyRedirects": ("it redirects without end; is the address right?", True),
    "ContentDecodingError": ("the answer is garbled; is the address right?", True),
    "DecodeError": ("the answer is garbled; is the address right?", True),
    "InvalidURL": ("that is not a valid address", True),
    "InvalidSchema": ("that is not a valid address", True),
    "MissingSchema": ("that is not a valid address", True),
    "LocationParseError": ("that is not a valid address", True),
    "InvalidUrlException": ("that is not a valid address", True),
    "AnswerTooLargeError": ("the answer is too large; is the address right?", True),
    "ProxyError": ("no connection through the proxy", False),
    "IncompleteRead": ("the answer broke off", False),
}


@dataclass(frozen=True)
class Fault:
    """What went wrong.

    Attributes:
        text: a clause in plain words, without secrets.
        lasting: whether waiting mends nothing.
    """

    text: str
    lasting: bool


def connection_fault(error: BaseException, trust_setting: str) -> Fault | None:
    """The fault of the connection inside an exception; None when it is about something else.

    Args:
        error: what a client library raised.
        trust_setting: the setting that names the certificates to trust.
    """
    inside = list(_inside(error))
    for one in inside:
        if fault := _tls(one, trust_setting) or _protocol(one):
            return fault
    for one in inside:
        if fault := _network(one):
            return fault
    return None


def _inside(error: BaseException) -> Iterator[BaseException]:
    """An exception and those it was made of, the outermost first."""
    seen: set[int] = set()
    level = [error]
    for _ in range(_DEEPEST):
        below: list[BaseException] = []
        for one in level:
            if id(one) in seen:
                continue
            seen.add(id(one))
            yield one
            parts = (one.__cause__, one.__context__, getattr(one, "reason", None), *one.args)
            wrapped = getattr(one, "kwargs", None)  # botocore's
            more = wrapped.values() if isinstance(wrapped, dict) else ()
            below += [part for part in (*parts, *more) if isinstance(part, BaseException)]
        level = below


def _tls(error: BaseException, trust_setting: str) -> Fault | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Fault(_certificate(error.verify_code, trust_setting), lasting=True)
    if isinstance(error, OSError) and "TLS CA certificate bundle" in str(error):
        return Fault(f"there is no file of certificates where {trust_setting} says", lasting=True)
    if type(error).__name__ == "CertificateError":  # urllib3's own comparison of names
        return Fault(_certificate(_OTHER_NAMES[0], trust_setting), lasting=True)
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError):
        return None
    reason = str(error.reason or "")
    if reason in _NO_TLS:
        return Fault("it does not speak TLS; is it http:// and not https://?", lasting=True)
    return Fault(f"TLS failed ({reason or 'no reason given'})", lasting=True)


def _certificate(code: int, trust_setting: str) -> str:
    if code == _EXPIRED:
        return "its TLS certificate has expired; it must be renewed there"
    if code == _NOT_YET_VALID:
        return "its TLS certificate is not valid yet; check this machine's clock"
    if code in _OTHER_NAMES:
        return "its TLS certificate is for another name; use the name that it is for"
    return (
        f"its TLS certificate is not trusted; set {trust_setting} to the file of the authority "
        "that signed it"
    )


def _protocol(error: BaseException) -> Fault | None:
    if isinstance(error, ConnectionError):  # RemoteDisconnected is a BadStatusLine too
        return None
    if isinstance(error, http.client.BadStatusLine | http.client.LineTooLong | UnicodeError):
        return Fault("it does not speak HTTP; are host and port right?", lasting=True)
    found = _BY_NAME.get(type(error).__name__)
    return Fault(*found) if found else None


def _network(error: BaseException) -> Fault | None:
    if isinstance(error, socket.gaierror):
        return Fault("its name is not known in the network", lasting=False)
    if isinstance(error, ConnectionRefusedError):
        return Fault("nobody listens there; is it running?", lasting=False)
    if isinstance(error, TimeoutError) or "Timeout" in type(error).__name__:
        return Fault("no answer in time; is it running?", lasting=False)
    if isinstance(error, ConnectionError | ssl.SSLEOFError):
        return Fault("the connection broke off; is it running?", lasting=False)
    return None

"""What botocore's errors mean for a user: worth another try, or one clear line.

Lines are built from codes only: a server's own message may echo an access key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from boto3.exceptions import Boto3Error
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    FlexibleChecksumError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    TokenRetrievalError,
)

from gtrans_core.errors import StorageError
from gtrans_core.storage.connection import connection_fault
from gtrans_core.storage.retry import TransientError
from gtrans_core.storage.store import without_secrets

_TRANSIENT_STATUS = (408, 425, 429)
_NEVER = (501, 505)
_NOT_MODIFIED = 304
_HEAD = 2048
_OF_WEB_PAGES = ("text/html", "application/xhtml+xml", "text/plain", "application/json")
_WITH_ETAG = ("GetObject", "HeadObject", "PutObject", "UploadPart")
_WITH_XML = ("ListObjectsV2", "CreateMultipartUpload", "CompleteMultipartUpload")
_ROOTS = (
    b"<ListBucketResult",
    b"<InitiateMultipartUploadResult",
    b"<CompleteMultipartUploadResult",
    b"<Error",
)
_NO_CREDENTIALS = "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile)"
_NOT_FETCHED = "the credentials could not be fetched; sign in again"
_TRANSIENT_CODES = frozenset(
    {
        "BadDigest",
        "ConditionalRequestConflict",
        "InternalError",
        "OperationAborted",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
    }
)
_ADVICE = {
    "NoSuchBucket": "there is no such bucket; check its name and the endpoint",
    "InvalidBucketName": "that is not a bucket's name",
    "NoSuchKey": "there is no such object",
    "AccessDenied": "access denied; the credentials need the right to read, list or write it",
    "InvalidAccessKeyId": "the access key is unknown there; check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "the secret key is wrong; check AWS_SECRET_ACCESS_KEY",
    "InvalidToken": "the session token is not valid; get new credentials",
    "ExpiredToken": "the credentials have expired; get new ones",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
    "PermanentRedirect": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "AuthorizationHeaderMalformed": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "301": "the bucket is in another region; set AWS_DEFAULT_REGION",
    "401": "it wants other credentials; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "403": "access denied; check the credentials and their rights",
    "404": "there is no such object or bucket",
    "501": "the server cannot do what was asked",
}
_BROKEN: dict[type[BotoCoreError], str] = {
    EndpointConnectionError: "no connection to the endpoint; is it running?",
    ConnectTimeoutError: "no connection to the endpoint in time",
    ProxyConnectionError: "no connection to the proxy",
    ReadTimeoutError: "no answer in time",
    ConnectionClosedError: "the connection was closed",
    ResponseStreamingError: "the connection broke within the object",
    IncompleteReadError: "the object came incomplete",
    FlexibleChecksumError: "the bytes that came do not match the object's checksum",
}


class ForeignAnswerError(Exception):
    """An answer that no S3 endpoint gives; its text says what came instead."""


def translated(url: str, endpoint: str, error: Exception) -> TransientError | StorageError:
    """The exception to raise for whatever the client raised."""
    if isinstance(error, TransientError | StorageError):
        return error
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageError(f"{url}: {_NO_CREDENTIALS}")
    if isinstance(error, CredentialRetrievalError | TokenRetrievalError):
        return StorageError(f"{url}: {_NOT_FETCHED}")
    text, lasting = s3_fault(error)
    return StorageError(f"{url} at {endpoint}: {text}") if lasting else TransientError(text)


def s3_fault(error: Exception) -> tuple[str, bool]:
    """What the client raised, as a clause, and whether waiting mends nothing."""
    if isinstance(error, ClientError):
        return _of_answer(error)
    if isinstance(error, ForeignAnswerError):
        return str(error), True
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return _NO_CREDENTIALS, True
    if isinstance(error, CredentialRetrievalError | TokenRetrievalError):
        return _NOT_FETCHED, True
    broken = connection_fault(error, "AWS_CA_BUNDLE")
    if broken is not None and broken.lasting:
        return broken.text, True
    for kind, meaning in _BROKEN.items():
        if isinstance(error, kind):
            return meaning, False
    if isinstance(error, HTTPClientError) and not _is_no_answer(error):
        return f"the connection failed ({type(error).__name__})", False
    if isinstance(error, BotoCoreError) and not isinstance(error, HTTPClientError):
        return f"{type(error).__name__}; check the AWS settings", True
    return f"unexpected answer ({type(error).__name__}); is it an S3 endpoint?", True


def _is_no_answer(error: HTTPClientError) -> bool:
    """Whether the client failed to make sense of what came."""
    return isinstance(error.kwargs.get("error"), TypeError | ValueError | LookupError)


def is_s3_error(error: BaseException) -> bool:
    """Whether an exception is one of the client's, or of what reads its answers."""
    return isinstance(error, BotoCoreError | ClientError | Boto3Error | ForeignAnswerError)


def refuse_foreign_answer(
    operation: str, status: int, headers: Mapping[str, str], body: Any
) -> None:
    """Look at an answer before the client does, which takes a web page for an empty bucket.

    Args:
        operation: S3's name of what was asked for.
        status: of HTTP.
        headers: of the answer.
        body: bytes; anything else is an object's content, still to be read.

    Raises:
        ForeignAnswerError: for a redirect elsewhere, a web page, another service.
    """
    text = bytes(body[:_HEAD]).lstrip() if isinstance(body, bytes) else b""
    if 300 <= status < 400 and status != _NOT_MODIFIED and not _of_another_region(headers, text):
        target = without_secrets(headers.get("location", "another address").partition("?")[0])
        raise ForeignAnswerError(
            f"it redirects to {target} ({status}); S3 clients do not follow: set AWS_ENDPOINT_URL "
            "to the address of the S3 endpoint itself"
        )
    kind = str(headers.get("content-type") or "").partition(";")[0].strip().lower()
    if not _is_s3(operation, status, headers, kind, text):
        came = kind or "content of no type"
        raise ForeignAnswerError(
            f"not an S3 endpoint: it answered {status} with {came}; check AWS_ENDPOINT_URL (a "
            "console or a web page has another address)"
        )


def _is_s3(operation: str, status: int, headers: Mapping[str, str], kind: str, text: bytes) -> bool:
    if status >= 500 or status in _TRANSIENT_STATUS:
        return True  # a proxy may say so, in words of its own
    if status >= 300:
        return not text or kind not in _OF_WEB_PAGES or b"<Error" in text
    if operation in _WITH_ETAG:
        return "etag" in headers
    return operation not in _WITH_XML or any(root in text for root in _ROOTS)


def _of_another_region(headers: Mapping[str, str], text: bytes) -> bool:
    return "x-amz-bucket-region" in headers or b"<Code>" in text


def is_missing_object(error: ClientError) -> bool:
    """Whether a request failed because there is no such object."""
    return _code_of(error) in ("404", "NoSuchKey", "NotFound")


def condition_failed(error: ClientError) -> bool:
    """Whether a request was refused for its condition: the object exists, or has changed."""
    return _status_of(error) == 412


def _of_answer(error: ClientError) -> tuple[str, bool]:
    code, status = _code_of(error), _status_of(error)
    said = f"{status} {code}" if code != str(status) else code
    busy = status >= 500 and status not in _NEVER
    if busy or status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES:
        return f"the server answered {said}", False
    advice = _ADVICE.get(code) or _ADVICE.get(str(status)) or "the server refused"
    return f"{advice} ({said})", True


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))

"""What botocore's errors mean for a user: worth another try, or one clear line.

Lines are built from codes only: a server's own message may echo an access key.
"""

from __future__ import annotations

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
    SSLError,
    TokenRetrievalError,
)

from gtrans_core.errors import StorageError
from gtrans_core.storage.retry import TransientError

_TRANSIENT_STATUS = (408, 425, 429)
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
    "403": "access denied; check the credentials and their rights",
    "404": "there is no such object or bucket",
}
_BROKEN: dict[type[BotoCoreError], str] = {
    EndpointConnectionError: "no connection to the endpoint",
    ConnectTimeoutError: "no connection to the endpoint in time",
    ProxyConnectionError: "no connection to the proxy",
    ReadTimeoutError: "no answer in time",
    ConnectionClosedError: "the connection was closed",
    ResponseStreamingError: "the connection broke within the object",
    IncompleteReadError: "the object came incomplete",
    FlexibleChecksumError: "the bytes that came do not match the object's checksum",
}


def translated(
    url: str, endpoint: str, error: BotoCoreError | ClientError
) -> TransientError | StorageError:
    """The exception to raise for an error of botocore's."""
    if isinstance(error, ClientError):
        return _from_answer(url, endpoint, error)
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return StorageError(
            f"{url}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a profile)"
        )
    if isinstance(error, CredentialRetrievalError | TokenRetrievalError):
        return StorageError(f"{url}: the credentials could not be fetched; sign in again")
    if isinstance(error, SSLError):
        return StorageError(
            f"{url} at {endpoint}: its TLS certificate is not trusted; set AWS_CA_BUNDLE"
        )
    for kind, meaning in _BROKEN.items():
        if isinstance(error, kind):
            return TransientError(meaning)
    if isinstance(error, HTTPClientError):
        return TransientError(f"the connection failed ({type(error).__name__})")
    return StorageError(f"{url} at {endpoint}: {type(error).__name__}; check the AWS settings")


def is_missing_object(error: ClientError) -> bool:
    """Whether a request failed because there is no such object."""
    return _code_of(error) in ("404", "NoSuchKey", "NotFound")


def condition_failed(error: ClientError) -> bool:
    """Whether a request was refused for its condition: the object exists, or has changed."""
    return _status_of(error) == 412


def _from_answer(url: str, endpoint: str, error: ClientError) -> TransientError | StorageError:
    code, status = _code_of(error), _status_of(error)
    if status >= 500 or status in _TRANSIENT_STATUS or code in _TRANSIENT_CODES:
        return TransientError(f"the server answered {status} {code}")
    advice = _ADVICE.get(code) or _ADVICE.get(str(status)) or "the server refused"
    return StorageError(f"{url} at {endpoint}: {advice} ({status} {code})")


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status_of(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))

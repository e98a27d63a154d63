"""The client that talks to S3, made from the environment as boto3 finds it.

Credentials, region and endpoint come from where boto3 looks (``AWS_ENDPOINT_URL_S3``,
``AWS_ENDPOINT_URL``, ``AWS_ACCESS_KEY_ID``, profiles, ...); ``GTRANS_S3_ADDRESSING`` sets the
addressing style. boto3's own retries are off: ``retry.py`` is the only policy.
"""

from __future__ import annotations

import functools
import os
from typing import Any

import boto3
from botocore.config import Config
from botocore.handlers import BUILTIN_HANDLERS

from gtrans_core.errors import ConfigError
from gtrans_core.storage.s3_bounds import bound_answers
from gtrans_core.storage.s3_errors import refuse_foreign_answer

ADDRESSING_VARIABLE = "GTRANS_S3_ADDRESSING"
CONNECT_TIMEOUT_S = 10
READ_TIMEOUT_S = 60
MAX_CONNECTIONS = 16

AwsVariables = tuple[tuple[str, str], ...]
"""Names and values."""


def aws_variables() -> AwsVariables:
    """The part of the environment that decides how a client is made."""
    names = (n for n in os.environ if n.startswith("AWS_") or n == ADDRESSING_VARIABLE)
    return tuple((name, os.environ[name]) for name in sorted(names))


@functools.cache
def make_client(
    variables: AwsVariables, *, only_new: bool = False, endpoint: str | None = None
) -> Any:
    """One client (and one pool of connections) a process for the same arguments.

    Args:
        variables: of the environment.
        only_new: complete multipart uploads only where there is no such object yet.
        endpoint: by default what the environment says.

    Raises:
        ConfigError: for an unknown addressing style.
        BotoCoreError, ValueError: for settings that boto3 cannot use.
    """
    style = dict(variables).get(ADDRESSING_VARIABLE)
    if style not in (None, "auto", "path", "virtual"):
        raise ConfigError(f"{ADDRESSING_VARIABLE}={style}: expected auto, path or virtual")
    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        max_pool_connections=MAX_CONNECTIONS,
        retries={"total_max_attempts": 1},
        # Without ours, what a profile's ``s3.addressing_style`` says.
        s3={"addressing_style": style} if style else None,
        # Ours are sent as plain headers; those botocore adds by itself break older stores.
        request_checksum_calculation="when_required",
    )
    client = careful(boto3.session.Session().client("s3", config=config, endpoint_url=endpoint))
    if only_new:
        # boto3's transfer takes no such condition by itself (ExtraArgs refuses it).
        client.meta.events.register(
            "before-parameter-build.s3.CompleteMultipartUpload", _require_new
        )
    return client


def careful(client: Any) -> Any:
    """A client whose answers are looked at first, and read within limits; whoever made it."""
    if bound_answers(client):
        _look_first(client.meta.events)
    return client


def _look_first(events: Any) -> None:
    """Have each answer looked at before botocore's own handlers make a 500 of a web page."""
    event = "before-parse.s3.*"
    for name, handler, *_ in BUILTIN_HANDLERS:
        if name == event:
            events.unregister(event, handler)
            events.register(event, handler)  # no longer first
    events.register_first(event, _look_at)


def _look_at(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
    answer = response_dict
    headers = {str(name).lower(): str(value) for name, value in answer["headers"].items()}
    refuse_foreign_answer(operation_model.name, answer["status_code"], headers, answer.get("body"))


def _require_new(params: dict[str, Any], **_: Any) -> None:
    params["IfNoneMatch"] = "*"

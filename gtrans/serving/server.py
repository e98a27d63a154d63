"""The service's process: its port, its signals, its end."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket

import uvicorn
from fastapi import FastAPI

from gtrans.serving.settings import ServeSettings
from gtrans_core.errors import ConfigError

_IDLE_SECONDS = 30
"""Seconds that an idle connection is kept."""


def bind(settings: ServeSettings) -> socket.socket:
    """Take the port before anything is loaded; nobody can connect before ``serve``.

    Raises:
        ConfigError: when the port is taken, or the address is not one of this machine.
    """
    name = f"{settings.host} port {settings.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot listen there ({error.strerror}); choose another --host or --port"
        ) from None
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(app: FastAPI, listener: socket.socket, settings: ServeSettings) -> None:
    """Answer requests until SIGTERM or SIGINT; those under way are finished first."""
    logging.getLogger("gtrans_core").setLevel(logging.INFO)
    config = uvicorn.Config(
        app,
        access_log=False,  # a log line for each image is too much; /metrics counts them
        timeout_graceful_shutdown=settings.drain_seconds,
        timeout_keep_alive=_IDLE_SECONDS,
        server_header=False,
        log_level="info",
    )
    # uvicorn raises the signal again once it has drained; that counts as a normal end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    uvicorn.Server(config).run(sockets=[listener])

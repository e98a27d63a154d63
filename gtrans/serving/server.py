"""The service's process: its port, its signals, its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

import uvicorn
from fastapi import FastAPI

from gtrans.serving.connections import Connection, OnceAMinute, check_all, connection_cap
from gtrans.serving.listening import take_port
from gtrans.serving.settings import ServeSettings
from gtrans_core.errors import ServingError

_LISTEN_QUEUE = 1024
"""Connections that the system keeps until they are accepted."""


def bind(settings: ServeSettings) -> socket.socket:
    """Take the port before anything is loaded; nobody can connect before ``serve``.

    Raises:
        ConfigError: when the port is taken, or the address is not one of this machine.
    """
    return take_port(settings.host, settings.port, "--host or --port")


def serve(app: FastAPI, listener: socket.socket, settings: ServeSettings) -> None:
    """Answer requests until SIGTERM or SIGINT; those under way are finished first.

    Raises:
        ServingError: when it can score no more.
    """
    logging.getLogger("gtrans_core").setLevel(logging.INFO)
    server = make_server(app, settings)
    # uvicorn raises the signal again once it has drained; that counts as a normal end.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    server.run(sockets=[listener])
    failure = app.state.service.worker.failure
    if failure:
        raise ServingError(f"{failure}; start the service again")


def make_server(app: FastAPI, settings: ServeSettings) -> uvicorn.Server:
    """uvicorn with this service's limits; it ends by itself when the service can score no more."""

    class Ours(Connection):
        """With this service's limits."""

    Ours.settings, Ours.cap = settings, connection_cap(settings)

    async def each_second() -> None:
        check_all(server.server_state.connections, asyncio.get_running_loop().time())
        if app.state.service.worker.failure:
            server.should_exit = True

    config = uvicorn.Config(
        app,
        http=Ours,
        loop="asyncio",  # whatever else is installed: the deadlines were tried with these two
        ws="none",
        proxy_headers=False,  # a client must not choose the address that its share goes by
        # Accepted at a time: asyncio takes no look at the others before it has made them all.
        backlog=max(1, Ours.cap // 8),
        access_log=False,  # a log line for each image is too much; /metrics counts them
        timeout_graceful_shutdown=settings.drain_seconds,
        timeout_keep_alive=settings.idle_seconds,
        callback_notify=each_second,
        timeout_notify=0,
        server_header=False,
        log_level="info",
    )
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addFilter(OnceAMinute())
    server = _Server(config)
    return server


class _Server(uvicorn.Server):
    """Its listener has a longer queue than what is accepted at a time."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(_LISTEN_QUEUE)

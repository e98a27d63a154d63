"""Ports of this machine that nobody listens on."""

from __future__ import annotations

import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"
_GRPC = 10_000
"""SeaweedFS takes a second port, this much above each."""


def free_port() -> int:
    """A free port of the loopback address whose SeaweedFS twin is free too."""
    while True:
        with ExitStack() as stack:
            try:
                probe = stack.enter_context(socket.socket())
                probe.bind((LOOPBACK, 0))
                port = int(probe.getsockname()[1])
                stack.enter_context(socket.socket()).bind((LOOPBACK, port + _GRPC))
            except (OSError, OverflowError):
                continue
            return port


def is_free(port: int) -> bool:
    """Whether nobody listens there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True

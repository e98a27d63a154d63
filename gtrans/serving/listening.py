"""Taking a port of this machine."""

from __future__ import annotations

import socket

from gtrans_core.errors import ConfigError


def take_port(host: str, port: int, options: str) -> socket.socket:
    """A socket that has the port; nobody can connect before it listens.

    Args:
        host: a name or an address of this machine.
        port: 0: any free one.
        options: of the command line, that choose another, for the error's message.

    Raises:
        ConfigError: when the port is taken, or the address is not one of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
    except OSError as error:
        raise ConfigError(
            f"{host} port {port}: cannot listen there ({error.strerror}); choose another {options}"
        ) from None
    return taken

"""What kfp.local starts for a step: it asks the step server for a fork, and ends as the fork ends.

``python -I -S step_client.py SOCKET ARGUMENT...`` needs nothing but the standard library, so that
it starts in milliseconds.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

_LOST = 70  # as a run whose step ended without saying why (EX_SOFTWARE)


def connect(path: Path) -> socket.socket:
    """A connection to the socket at ``path``, which may be longer than a socket's name may be."""
    folder = os.open(path.parent, os.O_RDONLY)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
    return connection


def main() -> None:
    """Have the step run with this process's arguments, environment, folder and streams."""
    # The step gets the group's SIGTERM too; this process outlives it, to tell how it ended.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    folder = str(Path.cwd())
    request = {"arguments": sys.argv[2:], "environment": dict(os.environ), "folder": folder}
    try:
        with connect(Path(sys.argv[1])) as server, server.makefile("rwb") as stream:
            socket.send_fds(server, [b"\n"], [0, 1, 2])
            stream.write(json.dumps(request).encode() + b"\n")
            stream.flush()
            answer = stream.readline()
    except OSError as error:
        sys.exit(f"the process that steps are forks of cannot be reached: {error.strerror}")
    _end(int(answer or _LOST))


def _end(code: int) -> None:
    if code < 0:  # a signal's number
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


if __name__ == "__main__":
    main()

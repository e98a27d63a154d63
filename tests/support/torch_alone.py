"""Python code in a process that has imported torch and nothing else: two seconds less each.

A fork of a process that did so. What the code prints goes to the standard error.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from functools import cache

from tests.support.processes import SOURCES, outside_of_runs

_SERVER = """
import json, os, sys
import torch
for line in sys.stdin:
    child = os.fork()
    if not child:
        os.dup2(2, 1)
        exec(json.loads(line), {"__name__": "__main__"})
        sys.stdout.flush()
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def python(code: str) -> None:
    """Run code that ends well; else its traceback is in what the test printed."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(code) + "\n")
    server.stdin.flush()
    assert server.stdout.readline() == "0\n", code


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        cwd=SOURCES,
        env=outside_of_runs(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.wait)
    assert server.stdin is not None
    atexit.register(server.stdin.close)  # done first, and tells it to end
    return server

"""Measuring in a process of its own, where nothing else adds to the memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


def in_own_process(module: str, *arguments: str) -> dict[str, Any]:
    """What ``python -m MODULE ARGUMENTS`` prints last, as JSON; one thread."""
    done = subprocess.run(  # noqa: S603 - our own modules
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found

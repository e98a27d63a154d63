"""Commands that a user may call next, as a line that a shell takes."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def next_command(verb: str, *arguments: str) -> str:
    """``gtrans VERB ...``, quoted for a shell."""
    return shlex.join([program("gtrans"), verb, *arguments])


def program(name: str) -> str:
    """How to call a program of this environment: by name if the shell finds it, else by path."""
    beside = Path(sys.executable).parent / name
    if shutil.which(name) == str(beside):
        return name
    return str(beside)

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


def profile_options(profile_name: str, store: str | None) -> list[str]:
    """The options that make another command use the same profile and store."""
    named = ["--profile", profile_name] if profile_name != "local" else []
    return [*named, *(["--store", store] if store else [])]

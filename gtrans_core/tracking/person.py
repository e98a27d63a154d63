"""Who does something, as far as this process knows."""

from __future__ import annotations

import getpass
import os


def who() -> str:
    """The name that this process goes by: stated, not proven."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    try:
        return name or getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        return f"user {os.getuid()}"

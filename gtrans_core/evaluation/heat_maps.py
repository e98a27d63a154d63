"""An old name, for models registered while ``gtrans_core.drawing.heat_maps`` was called this."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """``overlay``; found when it is asked for, since drawing stands above evaluation."""
    if name != "overlay":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("gtrans_core.drawing.heat_maps").overlay

"""The packaged detector: networks, graph, threshold, files."""

from importlib import import_module
from typing import Any

_HOME = {"Detector": "detector", "Prediction": "detector", "detector_digest": "files"}
"""Old names, for models registered while this package was one file."""


def __getattr__(name: str) -> Any:
    """An old name; found when it is asked for, since ``Detector`` brings torch."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

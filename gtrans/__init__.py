"""GTrans from Python: train a detector, load it, score images with it.

    import gtrans

    result = gtrans.train("my-parts", "flange", training={"epochs": 8})
    detector = gtrans.load(result.model)
    prediction = detector.predict("part.png")
    if prediction.is_anomalous:
        prediction.draw().save("part-heat-map.png")

Public are the names in ``__all__``, and they keep their meaning. All else is private and may change
with any version: what begins with an underscore, every other module of ``gtrans``, and the whole of
``gtrans_core``. Whatever goes wrong outside the code is a ``GTransError`` of one line.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gtrans_core import __version__
from gtrans_core.errors import (
    ConfigError,
    DataError,
    GTransError,
    ModelError,
    PreemptedError,
    StorageError,
    TrackingError,
    TrainingError,
    WeightsError,
)

if TYPE_CHECKING:
    from gtrans._detector import Detector, Image, Prediction, load
    from gtrans._training import Result, train

__all__ = [
    "ConfigError",
    "DataError",
    "Detector",
    "GTransError",
    "Image",
    "ModelError",
    "Prediction",
    "PreemptedError",
    "Result",
    "StorageError",
    "TrackingError",
    "TrainingError",
    "WeightsError",
    "__version__",
    "load",
    "train",
]

_HOME = {
    **dict.fromkeys(("Detector", "Image", "Prediction", "load"), "_detector"),
    **dict.fromkeys(("Result", "train"), "_training"),
}


def __getattr__(name: str) -> Any:
    """A name that is found when it is asked for: the command line starts without them."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""What can go wrong that a user can mend: one line each, one exit code a kind."""

from __future__ import annotations

import os
import re
import traceback
from importlib.util import find_spec
from pathlib import Path

from gtrans_core.system.text import printable_lines

# A user, or a user and a password, which may hold slashes; a port is none.
_USER_IN_ADDRESS = re.compile(r"(?<=://)(?:[^/\s'\":@]+:(?!\d+(?:[/?#\s]|$))[^\s'\"]+|[^/\s'\"]+)@")
_QUERY_OF_ADDRESS = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]+")
_NAMED_SECRET = re.compile(
    r"(?i)\b([\w.-]*(?:password|passwd|secret|token|api_?key|access_?key))(\s*=\s*)[^\s&;,'\"]+"
)
_SECRET_VARIABLE = re.compile(r"(?i)(password|passwd|secret|token|access_?key|api_?key)(_ID)?$")
_FURTHER_LINE = re.compile(r"\n(?! {2})")
TRACEBACK = "GTRANS_TRACEBACK"
_TEXT_LENGTH = 200
_SHORTEST_SECRET = 6
"""Characters; replacing shorter values would tear words apart."""


def scrubbed(text: str) -> str:
    """A text without what may be secret.

    Taken out: users and queries of addresses, ``password=...`` and its like, and values of
    environment variables with such names.
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name):
            text = text.replace(value, "***")
    text = _USER_IN_ADDRESS.sub("", text)
    text = _QUERY_OF_ADDRESS.sub(r"\1", text)
    return _NAMED_SECRET.sub(r"\1\2***", text)


class GTransError(Exception):
    """A mistake or a fault outside the code; its text is one line: what, where, what to do.

    What may be secret in the text is taken out (``scrubbed``), and nothing in it commands a
    terminal or looks like a line of somebody else's: a further line is indented.

    Attributes:
        exit_code: what a process that ends on this error returns (never 0, 1 or 2).
        passing: whether it may mend by itself: a server that is down, busy, not reached.
    """

    exit_code = 10

    def __init__(self, text: str = "", *, passing: bool = False) -> None:
        super().__init__(_FURTHER_LINE.sub(" ", printable_lines(scrubbed(text))))
        self.passing = passing


class ConfigError(GTransError):
    """A configuration key or value is wrong."""

    exit_code = 3


class DataError(GTransError):
    """A data set, an image or a mask is wrong or missing."""

    exit_code = 4


class WeightsError(GTransError):
    """Backbone weights are missing, do not fit, or are not the pinned ones."""

    exit_code = 5


class StorageError(GTransError):
    """A folder or object store cannot be read or written."""

    exit_code = 6


class TrackingError(GTransError):
    """MLflow cannot be reached or refuses."""

    exit_code = 7


class ModelError(GTransError):
    """A packaged detector is damaged, foreign or incomplete."""

    exit_code = 8


class TrainingError(GTransError):
    """Training cannot go on (not finite, no room, no accelerator)."""

    exit_code = 9


class GateError(GTransError):
    """A version does not pass the gate; the champion stays."""

    exit_code = 12


class SupersededError(GTransError):
    """Somebody else moved the champion meanwhile; theirs stays."""

    exit_code = 13


class CategoriesError(GTransError):
    """Some categories of a run failed; the others are registered."""

    exit_code = 14


class KubeflowError(GTransError):
    """Kubeflow Pipelines cannot be reached or refuses, or a run there failed."""

    exit_code = 15


class ServingError(GTransError):
    """A service can score no more; whoever started it should start it again."""

    exit_code = 16


class DriftError(GTransError):
    """Scores in use are no longer those of the held-out good images."""

    exit_code = 20


class UnexpectedError(GTransError):
    """Something that nobody foresaw went wrong: a mistake in gtrans, or an answer that is new."""

    exit_code = 70


class PreemptedError(GTransError):
    """The process was asked to stop (SIGTERM); its state is saved, the same command goes on."""

    exit_code = 75


def error_of(exit_code: int, text: str) -> GTransError:
    """The error that a process ended on, by its exit code; one of no kind where nobody knows it."""
    kinds = {kind.exit_code: kind for kind in GTransError.__subclasses__()}
    return kinds.get(exit_code, GTransError)(text)


def unexpected(error: Exception) -> UnexpectedError:
    """What to end on when an exception came that no translator knows: where, and what it says.

    With ``GTRANS_TRACEBACK`` set, its traceback is printed as well.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "gtrans" in frame.filename] or frames
    where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    text = " ".join(str(error).split())[:_TEXT_LENGTH]
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    return UnexpectedError(
        f"unexpected fault{where} ({type(error).__name__}: {text or 'no reason given'}); please "
        f"report it; {TRACEBACK}=1 shows the whole traceback"
    )


_EXTRA_OF = {
    **dict.fromkeys(("fastapi", "prometheus_client", "starlette", "uvicorn"), "serve"),
    **dict.fromkeys(("kfp", "kfp_server_api"), "cluster"),
    **dict.fromkeys(
        ("cyclonedx", "httpx2", "huggingface_hub", "jinja2", "onnx", "pandas"),
        "train",
    ),
    **dict.fromkeys(("scipy", "timm", "torch", "torchvision"), "train"),
}
"""Packages that not every machine has, and the extra (pyproject.toml) that brings them."""


def missing_package(name: str | None) -> ConfigError | None:
    """What to say where a package cannot be imported; None for one that is never left out."""
    package = (name or "").partition(".")[0]
    extra = _EXTRA_OF.get(package)
    if extra is None:
        return None
    return ConfigError(
        f"this needs the package {package}, which is not installed here: "
        f"pip install 'gtrans[{extra}]'"
    )


def require_packages(*names: str) -> None:
    """Find out early, and without importing them, that packages are missing.

    Raises:
        ConfigError: naming the first one, and the extra that brings it.
    """
    for name in names:
        if find_spec(name) is None and (missing := missing_package(name)):
            raise missing

"""What can go wrong that a user can mend: one line each, one exit code a kind."""


class GTransError(Exception):
    """A mistake or a fault outside the code; its text is one line: what, where, what to do.

    Attributes:
        exit_code: what a process that ends on this error returns (never 0, 1 or 2).
    """

    exit_code = 10


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
    """Of a run over several categories, some failed; the others are registered."""

    exit_code = 14


class KubeflowError(GTransError):
    """Kubeflow Pipelines cannot be reached or refuses, or a run there failed."""

    exit_code = 15


class DriftError(GTransError):
    """Scores in use are no longer those of the held-out good images."""

    exit_code = 20


class PreemptedError(GTransError):
    """The process was asked to stop (SIGTERM); its state is saved, the same command goes on."""

    exit_code = 75

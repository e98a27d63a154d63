"""An old name, for pipelines compiled while ``gtrans_core.steps.context`` was called this."""

from gtrans_core.steps.context import RunContext as RunSettings

__all__ = ["RunSettings"]

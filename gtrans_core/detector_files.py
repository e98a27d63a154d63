"""An old name, for models registered while ``gtrans_core.detector.files`` was called this."""

from gtrans_core.detector.files import detector_digest

__all__ = ["detector_digest"]

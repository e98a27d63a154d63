"""The pipeline: how steps are wired, compiled and run."""

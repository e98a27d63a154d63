"""The pipelines as graphs of components, compiled for each profile."""

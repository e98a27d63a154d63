"""One function a pipeline step: what a component calls."""

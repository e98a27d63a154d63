"""Running pipelines on a Kubeflow server."""

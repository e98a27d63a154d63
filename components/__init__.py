"""The pipeline's steps as Kubeflow components: each a thin door to one function of the core."""

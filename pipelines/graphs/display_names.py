"""What Kubeflow's graph calls each step."""

DISPLAY_NAMES = {
    "ingest": "Check the images",
    "cache_features": "Compute features",
    "train": "Train",
    "evaluate": "Test and set the threshold",
    "register": "Register the model",
    "summarize": "Rank the categories",
    "check_drift": "Look for drift",
}
"""By step."""

"""MLflow: runs, the journal, the registry."""

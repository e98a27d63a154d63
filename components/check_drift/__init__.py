"""The check_drift step."""

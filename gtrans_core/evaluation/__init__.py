"""Metrics, thresholds, figures and the report."""

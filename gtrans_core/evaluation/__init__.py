"""Judging a detector on a test split: metrics, the record, the gate."""

"""The model registry: versions by content, signed, fetched only when verified."""

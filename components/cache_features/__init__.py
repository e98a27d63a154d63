"""The cache_features step."""

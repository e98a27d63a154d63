"""Training Trans from a feature cache, so that a kill loses nothing."""

"""Features of the reference network: computed once, cached, shared, read by training."""

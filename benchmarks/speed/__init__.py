"""How fast: scoring, training, cache, metrics, the pipeline around them."""

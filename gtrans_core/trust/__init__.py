"""Trust: key pairs, OpenSSF model signatures, and what a model must show before it is loaded."""

"""GTrans: the science and its contracts, in plain Python."""

__version__ = "0.1.0"

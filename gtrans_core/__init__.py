"""GTrans: the science and its contracts, in plain Python."""

__version__ = "0.2.0"

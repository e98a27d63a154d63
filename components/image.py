"""The one container image that every component runs in."""

from gtrans_core import __version__

IMAGE = f"gtrans-python:{__version__}"
"""A Python image with this package installed; a cluster profile pins it by registry and digest.

The embedded runner uses the running interpreter instead. It takes an image for a Python one by
the word in its name and warns otherwise, so the name says what the image is.
"""

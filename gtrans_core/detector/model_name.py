"""What a category's registered model is called: ``gtrans-CATEGORY``, and its MLflow addresses."""

from __future__ import annotations

MODEL_PREFIX = "gtrans-"
VERSION = "VERSION"
"""Stands in commands for the number that the registry is yet to give a detector."""
VERSION_NOTE = f" {VERSION} is the number that this run registered."
CHALLENGER = "challenger"
CHAMPION = "champion"


def model_name(category: str) -> str:
    """``gtrans-CATEGORY``."""
    return MODEL_PREFIX + category


def category_of_model(name: str) -> str:
    """The category of a model's name."""
    return name.removeprefix(MODEL_PREFIX)


def alias_uri(category: str, alias: str) -> str:
    """``models:/gtrans-CATEGORY@ALIAS``: an alias may move to another version."""
    return f"models:/{model_name(category)}@{alias}"


def version_uri(category: str, version: int) -> str:
    """``models:/gtrans-CATEGORY/VERSION``: a version never changes."""
    return f"models:/{model_name(category)}/{version}"

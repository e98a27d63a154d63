"""What the shell offers while a command is typed: categories and models of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gtrans_core.errors import GTransError

if TYPE_CHECKING:
    from gtrans_core.tracking.registry.names import RegisteredCategory


def categories(ctx: typer.Context, incomplete: str) -> list[str]:
    """Categories that have a registered model."""
    return [one.category for one in _registered(ctx) if one.category.startswith(incomplete)]


def category_aliases(ctx: typer.Context, incomplete: str) -> list[str]:
    """``CATEGORY@ALIAS`` of everything registered."""
    names = (f"{one.category}@{alias}" for one in _registered(ctx) for alias in one.aliases)
    return [name for name in names if name.startswith(incomplete)]


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """``models:/gtrans-CATEGORY@ALIAS`` of everything registered."""
    from gtrans_core.detector.model_name import alias_uri

    uris = (alias_uri(one.category, alias) for one in _registered(ctx) for alias in one.aliases)
    return [uri for uri in uris if uri.startswith(incomplete)]


def _registered(ctx: typer.Context) -> list[RegisteredCategory]:
    """Nothing where something is wrong: the command itself will say what."""
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.registry.names import registered_categories

    try:
        profile = load_profile(
            ctx.params.get("profile_name") or "local", store=ctx.params.get("store")
        )
        return registered_categories(profile.tracking_uri)
    except (GTransError, OSError):
        return []

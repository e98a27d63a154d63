"""What ``gtrans promote`` and ``gtrans rollback`` say they did."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from gtrans_core.detector.model_name import model_name
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from gtrans_core.tracking.promotion.promotion import PromotionResult


def show_promotion(category: str, result: PromotionResult, dry_run: bool) -> None:
    """Print who is champion now, or would be, and what else was found."""
    name = model_name(category)
    for note in result.notes:
        typer.echo(printable(note))
    if not result.moved:
        typer.echo(f"{name} version {result.champion} is the champion already")
        return
    before = f"version {result.previous}" if result.previous else "none"
    verb = "would be" if dry_run else "is"
    typer.echo(f"{name} version {result.champion} {verb} the champion (was: {before})")

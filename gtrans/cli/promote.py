"""``gtrans promote``, ``rollback`` and ``history``: who is champion of a category."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.options import (
    Category,
    DryRun,
    GateFile,
    ProfileName,
    Store,
    Why,
    place_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from gtrans_core.tracking.promotion.championship import Judgement
    from gtrans_core.tracking.promotion.promotion import History, Outcome
    from gtrans_core.tracking.promotion.releases import Release

_METRICS = {"image_auroc": "image AUROC", "pixel_auroc": "pixel AUROC", "au_pro_30": "AU-PRO @0.3"}


def promote(
    category: Category,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; default: the challenger.")
    ] = None,
    gate: GateFile = None,
    why: Why = "",
    again: Annotated[
        bool, typer.Option("--again", help="Also a version that was rolled back before.")
    ] = False,
    dry_run: DryRun = False,
    profile: ProfileName = "local",
    store: Store = None,
) -> None:
    """Make a version the champion, if it passes the gate.

    Ends with code 0 when the version is the champion, 12 when the gate refuses it, and 13 when
    somebody else's promotion came first and stays. Its release folder is written on its MLflow run,
    also where an earlier call died before that.
    """
    from gtrans.cli.shared.summary import program
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.promotion import promote as promoted
    from gtrans_core.tracking.promotion.releases import ensure_release
    from gtrans_core.trust.keys import SigningKey

    thresholds = load_gate(category, gate)
    place = load_profile(profile, store=store)
    key = SigningKey.from_environment()
    if key:
        place.trust.require_key(key)
    client = connect_existing(place.tracking_uri)
    outcome = promoted(
        client,
        category,
        thresholds,
        version,
        why=why,
        again=again,
        dry_run=dry_run,
        trust=place.trust,
        on_verdict=lambda judgement: _show_verdict(category, judgement),
    )
    _show_outcome(category, outcome, dry_run)
    if dry_run:
        return
    here = place_options(profile, store)
    if outcome.moved and outcome.previous:
        command = [program("gtrans"), "rollback", category, *here]
        typer.echo(f"Back to the previous champion:\n  {shlex.join(command)}")
    _show_release(category, ensure_release(client, category, key), here)


def rollback(
    category: Category,
    why: Why = "",
    dry_run: DryRun = False,
    profile: ProfileName = "local",
    store: Store = None,
) -> None:
    """Make the previous champion champion again.

    Its digests and its signature are checked first; the gate is not asked.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.promotion import rollback as rolled_back

    place = load_profile(profile, store=store)
    client = connect_existing(place.tracking_uri)
    outcome = rolled_back(client, category, why=why, dry_run=dry_run, trust=place.trust)
    _show_outcome(category, outcome, dry_run)


def history(category: Category, profile: ProfileName = "local", store: Store = None) -> None:
    """List every move of the champion: who, when, from, to, why, and the metrics."""
    from rich.console import Console

    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.promotion import read_history

    client = connect_existing(load_profile(profile, store=store).tracking_uri)
    found = read_history(client, category)
    console = Console()
    if found.moves:
        console.print(f"gtrans-{category}: champions", style="italic", highlight=False)
        console.print(_history_table(found))
    for line in _alias_lines(category, found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _show_verdict(category: str, judgement: Judgement) -> None:
    from rich.console import Console

    console = Console()
    rival = f"champion version {judgement.champion}" if judgement.champion else "no champion yet"
    console.print(f"gtrans-{category} version {judgement.version}, {rival}", highlight=False)
    for check in judgement.verdict.checks:
        console.print("  [green]ok[/]     " if check.passed else "  [red]refused[/]", end=" ")
        console.print(check.text, markup=False, highlight=False, soft_wrap=True)


def _show_outcome(category: str, outcome: Outcome, dry_run: bool) -> None:
    for note in outcome.notes:
        typer.echo(note)
    if not outcome.moved:
        typer.echo(f"gtrans-{category} version {outcome.champion} is the champion already")
        return
    before = f"version {outcome.previous}" if outcome.previous else "none"
    verb = "would be" if dry_run else "is"
    typer.echo(f"gtrans-{category} version {outcome.champion} {verb} the champion (was: {before})")


def _show_release(category: str, found: Release | None, place: list[str]) -> None:
    from gtrans.cli.shared.summary import program

    if found:
        command = [program("gtrans"), "release", category, "--out", "NEW-DIR", *place]
        typer.echo(f"Release folder: {found.path} on MLflow run {found.run_id}; to fetch it:")
        typer.echo(f"  {shlex.join(command)}")


def _history_table(found: History) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None)
    for heading in ("when (UTC)", "who", "what", "from", "to", *_METRICS.values(), "why"):
        table.add_column(heading, no_wrap=heading in ("when (UTC)", "what"))
    for recorded in found.moves:
        move = recorded.move
        table.add_row(
            move.when.removesuffix("+00:00"),
            escape(move.who),
            move.kind,
            str(move.previous or "none"),
            str(move.champion),
            *(_shown(move.metrics.get(name)) for name in _METRICS),
            escape(move.why),
        )
    return table


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _alias_lines(category: str, found: History) -> list[str]:
    """What the registry's alias says, where that differs from the history."""
    champion = found.moves[-1].move.champion if found.moves else None
    alias = "nothing" if found.alias is None else f"version {found.alias}"
    if not found.moves:
        return [f"no promotion yet; the alias champion points to {alias}"]
    if champion == found.alias:
        return []
    return [
        f"the alias champion points to {alias}, not to version {champion}; the next "
        f"`gtrans promote {category}` sets it right"
    ]

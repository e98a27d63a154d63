"""``gtrans promote``: a version becomes champion of its category, if the gate lets it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.options import (
    Category,
    DryRun,
    GateFile,
    ProfileName,
    Store,
    Why,
)
from gtrans_core.detector.model_name import model_name
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from gtrans_core.tracking.promotion.releases import Release
    from gtrans_core.tracking.promotion.verdicts import Judgement


def promote(
    category: Category,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; default: the challenger.")
    ] = None,
    gate: GateFile = None,
    why: Why = "",
    again: Annotated[
        bool, typer.Option("--again", help="Allow a version that was rolled back.")
    ] = False,
    dry_run: DryRun = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Make a version the champion, if it passes the gate.

    Ends with code 0 when the version is the champion, 12 when the gate refuses it, and 13 when
    somebody else's promotion came first and stays. Its release folder is written to its MLflow run,
    even if an earlier call died before doing so.
    """
    from gtrans.cli.shared.next_command import next_command, profile_options
    from gtrans.cli.shared.promotion_result import show_promotion
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.promotion import promote as promoted
    from gtrans_core.tracking.promotion.releases import ensure_release
    from gtrans_core.trust.keys import SigningKey

    thresholds = load_gate(category, gate)
    profile = load_profile(profile_name, store=store)
    key = SigningKey.from_environment()
    if key or (profile.trust.public_key and not dry_run):
        profile.trust.require_key(key)
    client = connect_existing(profile.tracking_uri)
    result = promoted(
        client,
        category,
        thresholds,
        version,
        why=why,
        again=again,
        dry_run=dry_run,
        trust=profile.trust,
        key=key,
        on_verdict=lambda judgement: _show_verdict(category, judgement),
    )
    show_promotion(category, result, dry_run)
    if dry_run:
        return
    same_profile = profile_options(profile_name, store)
    if result.moved and result.previous:
        command = next_command("rollback", category, *same_profile)
        typer.echo(f"Back to the previous champion:\n  {command}")
    _show_release(category, ensure_release(client, category, key), same_profile)


def _show_verdict(category: str, judgement: Judgement) -> None:
    from rich.console import Console

    console = Console()
    rival = f"champion version {judgement.champion}" if judgement.champion else "no champion yet"
    console.print(f"{model_name(category)} version {judgement.version}, {rival}", highlight=False)
    for reason in judgement.verdict.reasons:
        console.print("  [red]refused[/]", end=" ")
        console.print(printable(reason), markup=False, highlight=False, soft_wrap=True)
    passed = sum(check.passed for check in judgement.verdict.checks)
    if passed:
        others = "other " if judgement.verdict.reasons else ""
        checks = "check" if passed == 1 else "checks"
        console.print(f"  [green]ok[/]      {passed} {others}{checks}", highlight=False)


def _show_release(category: str, found: Release | None, same_profile: list[str]) -> None:
    from gtrans.cli.shared.next_command import next_command

    if found:
        command = next_command("release", category, "--out", "NEW-DIR", *same_profile)
        typer.echo(f"Release folder: {found.path} on MLflow run {found.run_id}; to fetch it:")
        typer.echo(f"  {command}")

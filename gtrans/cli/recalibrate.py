"""``gtrans recalibrate``: a new threshold for a registered model, without training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.options import Category, Experiment, GateFile, ProfileName, Store
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from gtrans_core.steps.recalibrate import Recalibration


def recalibrate(
    category: Category,
    good: Annotated[
        list[str] | None,
        typer.Option(
            "--good",
            metavar="DIR|s3://...",
            help="Fresh images of good parts that the model has never seen; may be given again.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            "--false-alarm-rate",
            metavar="SHARE",
            help="Share of good parts that may be flagged, such as 0.01; default: the model's.",
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; default: the champion.")
    ] = None,
    gate: GateFile = None,
    profile_name: ProfileName = "local",
    store: Store = None,
    experiment: Experiment = None,
) -> None:
    """Give a model a new threshold, from fresh good images or at another false-alarm rate.

    Nothing is trained; the networks stay as they are. The result is a new version, the challenger,
    compared with the champion and promoted like any other.
    """
    from gtrans.cli.shared.next_command import next_command, profile_options
    from gtrans.pipelines.gates import load_gate
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.batch.images import find_images
    from gtrans_core.errors import ConfigError

    if not good and rate is None:
        raise ConfigError("recalibrate needs --good FOLDER, --false-alarm-rate SHARE, or both")
    images = find_images(good or ())
    thresholds = load_gate(category, gate)
    profile = load_profile(profile_name, store=store, experiment=experiment)
    from gtrans_core.steps.context import RunContext
    from gtrans_core.steps.recalibrate import recalibrate as step

    context = RunContext("", category, profile.store, profile.tracking_uri, profile.experiment)
    found = step(context, thresholds, profile.trust, good=images, rate=rate, version=version)
    _show(found)
    judgement = found.registered.judgement
    if judgement.verdict.passed and judgement.champion != judgement.version:
        command = next_command("promote", category, *profile_options(profile_name, store))
        typer.echo(f"Make it the champion:\n  {command}")


def _show(found: Recalibration) -> None:
    """What the new threshold does to the test images."""
    before, after = found.before, found.after
    promise = after.promise
    if promise is not None and promise.how == "cross_fitted" and not promise.falls_short:
        typer.echo(printable(promise.text))
    typer.echo(f"On the test images, with version {found.base.version}'s threshold and now:")
    for kind, now in zip(before.per_defect, after.per_defect, strict=True):
        typer.echo(
            f"  {printable(kind.defect)}: caught {kind.caught} -> {now.caught} of {kind.images}"
        )
    typer.echo(
        f"  good: false alarms {before.good_flagged} -> {after.good_flagged} of {after.good_images}"
    )

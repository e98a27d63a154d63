"""``gtrans drift``: does a model still see what it was trained on?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.options import AsJson, Category, ProfileName, Store
from gtrans.cli.shared.plain_json import print_json
from gtrans_core.errors import DriftError
from gtrans_core.system.text import score_text

if TYPE_CHECKING:
    from gtrans_core.tracking.registry.versions import ModelVersion
    from gtrans_core.watch.drift import Drift

# Those of gtrans_core.watch.drift, which is not imported here: scipy takes half a second.
_ALPHA = 0.01
_DEFECT_SHARE = 0.05


def drift(
    category: Category,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; default: the champion.")
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="DATE|DAYS", help="First day (UTC): 2026-01-31, or 7d; default: all."
        ),
    ] = "",
    alpha: Annotated[
        float, typer.Option("--alpha", help="How often a model that did not drift is reported.")
    ] = _ALPHA,
    defects: Annotated[
        float, typer.Option("--defects", help="Largest share of defective images that is no drift.")
    ] = _DEFECT_SHARE,
    as_json: AsJson = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Compare scores in use with those of the held-out good images.

    Says fine, recalibrate, retrain or not enough images. Ends with code 0, or with 20 for
    recalibrate and retrain.
    """
    from gtrans.cli.shared.next_command import next_command, profile_options
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.steps.check_drift import judge_version, summary

    profile = load_profile(profile_name, store=store)
    model, found = judge_version(
        Path(profile.store),
        profile.tracking_uri,
        category,
        version=version,
        since=since,
        alpha=alpha,
        defect_share=defects,
        trust=profile.trust,
    )
    if as_json:
        print_json({"model": model.name, "version": model.version, **vars(found)})
    else:
        again = next_command(
            "recalibrate",
            category,
            "--good",
            "FOLDER",
            *([] if version is None else ["--version", str(version)]),
            *profile_options(profile_name, store),
        )
        _show(model, found, again)
    if found.drifted:
        raise DriftError(summary(model, found))


def _show(model: ModelVersion, found: Drift, again: str) -> None:
    from rich.console import Console

    console = Console()
    style = {"fine": "green", "not enough images": "yellow"}.get(found.verdict, "red")
    console.print(f"{model.name} version {model.version}: ", end="", highlight=False, markup=False)
    console.print(found.verdict, style=style, highlight=False)
    lines = [
        found.reason,
        f"images       {found.images} in use, {found.held_out} good ones that set the threshold",
        f"flagged      {found.flagged:.1%} of the images in use",
    ]
    if found.p_value is not None:
        lines.append(
            f"p-value      {found.p_value:.4f} (drift: at most {found.alpha:g}, "
            f"with up to {found.defect_share:.0%} defects)"
        )
        lines.append(f"median       {found.factor:.3f} times that of those good ones")
    if found.p_value_rescaled is not None:
        lines.append(f"p-value      {found.p_value_rescaled:.4f} once scores are divided by that")
    if found.verdict == "recalibrate" and found.factor:
        new = found.threshold * found.factor
        lines.append(f"threshold    {score_text(found.threshold)}; would be {score_text(new)}")
        lines.append(f"what to do   {again}  (FOLDER: good parts, photographed as they are now)")
    for line in lines:
        console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)

"""``gtrans predict``: score images with a detector, a few or a million."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.completion import models
from gtrans.cli.shared.options import ProfileName, Store
from gtrans_core.errors import ConfigError

if TYPE_CHECKING:
    from gtrans.pipelines.profiles import Profile
    from gtrans_core.batch.rows import ScoringModel
    from gtrans_core.detector.detector import Detector


def predict(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE|DIR|s3://...",
            help="PNG, JPEG, BMP, TIFF or WebP files, patterns such as '~/shots/*.png', or where "
            "to look for them.",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="models:/gtrans-NAME@ALIAS|FOLDER",
            help="A registered model, or a detector's folder.",
            autocompletion=models,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE.parquet|.csv|.jsonl",
            help="Write a table instead of printing one; the suffix says how.",
        ),
    ] = None,
    heat_maps: Annotated[
        Path | None,
        typer.Option("--heat-maps", metavar="DIR", help="Draw a heat map of each image there."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Keep the scores for gtrans drift.")
    ] = True,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Score images; one whose score is above the detector's threshold is flagged.

    Files that are not images are left out, and the last line counts them.

    With --out, an interrupted command goes on where it was when it is given again. Ends with code
    4 if an image could not be scored (the others are), and with 75 when it was stopped.
    """
    from gtrans.cli.shared.prediction import print_scores, write_table
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.batch.images import find_images
    from gtrans_core.batch.parts import refuse_existing
    from gtrans_core.watch.record import WATCH_FOLDER

    out, heat_maps = out and _at_home(out), heat_maps and _at_home(heat_maps)
    if out is not None:
        _check_name(out)
        refuse_existing(out)
    left_out: list[str] = []
    found = find_images(images, left_out.append)
    if heat_maps is not None:
        _refuse_drawing_among(images, heat_maps)
    profile = load_profile(profile_name, store=store)
    detector, facts = _load(model, profile)
    watched = Path(profile.store) / WATCH_FOLDER if watch else None
    if out is None:
        print_scores(detector, facts, found, left_out, heat_maps, watched)
    else:
        write_table(detector, facts, found, left_out, out, heat_maps, watched)


def _at_home(path: Path) -> Path:
    """``~/x`` as a shell would have read it, had it seen it (``--out=~/x``)."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's raises for unknown users


def _check_name(out: Path) -> None:
    from gtrans_core.batch.formats import SUFFIXES

    if out.suffix not in SUFFIXES:
        known = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise ConfigError(
            f"--out {out}: expected a name that ends in {known}; --heat-maps takes a folder"
        )


def _refuse_drawing_among(images: Sequence[str], heat_maps: Path) -> None:
    """Otherwise the next run would take the drawings for images."""
    for folder in (Path(argument) for argument in images):
        if folder.is_dir() and heat_maps.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(f"--heat-maps {heat_maps}: lies in {folder}, among the images")


def _load(model: str, profile: Profile) -> tuple[Detector, ScoringModel]:
    """The detector, and which one it is."""
    from gtrans_core.batch.rows import ScoringModel
    from gtrans_core.tracking.registry.loading import load_detector

    loaded = load_detector(model, profile.tracking_uri, profile.trust)
    info = loaded.detector.info
    version = loaded.version or None
    return loaded.detector, ScoringModel(info.category, version, loaded.digest, info.threshold)

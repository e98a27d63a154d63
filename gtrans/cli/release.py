"""``gtrans release``: the release folder of a promotion, fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.options import Category, ProfileName, Store
from gtrans_core.detector.model_name import model_name


def release(
    category: Category,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="NEW-DIR", help="Folder to make and fill.")
    ],
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Which one; default: the champion.")
    ] = None,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Fetch the release folder of a promotion: model card, lineage, SBOM, approval, report."""
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.promotion.releases import fetch_release
    from gtrans_core.trust.signature import SIGNATURE_NAME

    profile = load_profile(profile_name, store=store)
    client = connect_existing(profile.tracking_uri)
    found = fetch_release(client, category, version, out, profile.trust)
    if not (out / SIGNATURE_NAME).is_file():
        state = "its digests are those of the ledger; it is not signed"
    elif profile.trust.public_key is None:
        state = "its digests are those of the ledger; signed, but no public key is named to verify"
    else:
        state = "digests and signature verified"
    typer.echo(f"{model_name(category)} version {found.version}: {out} ({state})")

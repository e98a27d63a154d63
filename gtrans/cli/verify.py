"""``gtrans verify``: whether a model is what somebody signed, before anything of it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.options import ProfileName, Store

_REGISTRY = "models:/"


def verify(
    what: Annotated[
        list[str],
        typer.Argument(
            metavar="(FOLDER|models:/gtrans-NAME@ALIAS|models:/gtrans-NAME/VERSION)...",
            help="Folders of models, releases or an image's provenance; registered versions.",
        ),
    ],
    digest: Annotated[
        str,
        typer.Option(
            "--digest", metavar="SHA256", help="What the detector's or the image's must be."
        ),
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="NEW-DIR", help="Keep the verified model there."),
    ] = None,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Check a model's signature and digests, and run none of the model's own code.

    A champion is also checked for its signed approval. Ends with code 0 when all is as it should
    be, 8 when a file is not, and 3 when a key is missing.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.errors import ConfigError
    from gtrans_core.tracking.verify import verify_folder, verify_registered

    if len(what) > 1 and (digest or out):
        raise ConfigError("--digest and --out are for one model; name one")
    profile = load_profile(profile_name, store=store)
    for one in what:
        if one.startswith(_REGISTRY):
            from gtrans_core.tracking.client import connect_existing

            client = connect_existing(profile.tracking_uri)
            found = verify_registered(client, one, profile.trust, digest, out)
        elif out is not None:
            raise ConfigError("--out is for a registered version; a folder is there already")
        else:
            found = verify_folder(Path(one).expanduser(), profile.trust, digest)
        checked = ", ".join(found.checked) or "nothing but its form"
        of = f", digest {found.digest}" if found.digest else ""
        typer.echo(f"{one}: {found.what}{of}; verified: {checked}")
    if profile.trust.public_key is None:
        typer.echo("note: no public key is named, so nothing says who made it", err=True)

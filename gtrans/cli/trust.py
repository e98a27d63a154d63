"""``gtrans keys`` and ``gtrans sign``: a key pair, and a signature for a version without one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.options import Category, ProfileName, Store
from gtrans_core.errors import ConfigError


def keys(
    folder: Annotated[
        Path, typer.Argument(metavar="NEW-DIR", help="Folder to make; it must not be there yet.")
    ],
) -> None:
    """Make a key pair to sign models with.

    The private key is encrypted when GTRANS_SIGNING_KEY_PASSWORD is set.
    """
    from gtrans_core.trust.keys import SIGNING_KEY, SIGNING_KEY_PASSWORD, make_key_pair

    private, public = make_key_pair(folder)
    typer.echo(f"private key  {private}  (keep it secret; {SIGNING_KEY_PASSWORD} opens it, if set)")
    typer.echo(f"public key   {public}")
    typer.echo(f"Sign what `gtrans run` registers:\n  export {SIGNING_KEY}={private.resolve()}")
    typer.echo(f'Load signed models only: in the profile\n  public_key = "{public.resolve()}"')


def sign(
    category: Category,
    version: Annotated[int, typer.Option("--version", min=1, help="Which one.")],
    profile: ProfileName = "local",
    store: Store = None,
) -> None:
    """Sign a registered version, such as one registered before there was a key.

    Its detector is compared with the digests of its registration first.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.registry.signing import sign_version
    from gtrans_core.trust.keys import SIGNING_KEY, SigningKey

    key = SigningKey.from_environment()
    if key is None:
        raise ConfigError(f"{SIGNING_KEY} names no private key; `gtrans keys NEW-DIR` makes one")
    place = load_profile(profile, store=store)
    place.trust.require_key(key)
    sign_version(connect_existing(place.tracking_uri), category, version, key)
    typer.echo(f"gtrans-{category} version {version} is signed")

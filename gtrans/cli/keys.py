"""``gtrans keys``: a new key pair."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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

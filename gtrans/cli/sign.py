"""``gtrans sign``: a signature for a version that has none."""

from __future__ import annotations

from typing import Annotated

import typer

from gtrans.cli.shared.options import Category, ProfileName, Store
from gtrans_core.detector.model_name import model_name
from gtrans_core.errors import ConfigError


def sign(
    category: Category,
    version: Annotated[int, typer.Option("--version", min=1, help="Which one.")],
    profile_name: ProfileName = "local",
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
    profile = load_profile(profile_name, store=store)
    profile.trust.require_key(key)
    sign_version(connect_existing(profile.tracking_uri), category, version, key)
    typer.echo(f"{model_name(category)} version {version} is signed")

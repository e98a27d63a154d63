"""``gtrans resolve``: what an alias stands for now, also as Kubernetes objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from gtrans.cli.shared.completion import category_aliases
from gtrans.cli.shared.options import ProfileName, Store
from gtrans.cli.shared.version_names import named_alias
from gtrans_core.detector.model_name import CHAMPION, alias_uri
from gtrans_core.errors import ConfigError
from gtrans_core.system.text import printable

if TYPE_CHECKING:
    from gtrans_core.tracking.registry.versions import ModelVersion


def resolve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="CATEGORY[@ALIAS]...",
            help="Alias: champion.",
            autocompletion=category_aliases,
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    kserve: Annotated[
        bool, typer.Option("--kserve", help="Print KServe InferenceServices (YAML).")
    ] = False,
    deployment: Annotated[
        bool, typer.Option("--deployment", help="Print a Deployment of gtrans serve (YAML).")
    ] = False,
    image: Annotated[
        str, typer.Option("--image", metavar="NAME@sha256:...", help="Image of those pods.")
    ] = "",
    verifier_image: Annotated[
        str,
        typer.Option(
            "--verifier-image",
            metavar="NAME@sha256:...",
            help="Image of gtrans, which verifies the model before KServe loads it.",
        ),
    ] = "",
    no_token: Annotated[
        bool,
        typer.Option("--no-token", help="The Deployment answers without a token."),
    ] = False,
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Say which version, digest and files a category's champion (or another alias) is."""
    if as_json + kserve + deployment > 1:
        raise ConfigError("--json, --kserve and --deployment exclude each other")
    if (kserve or deployment) and not image:
        raise ConfigError("--image is missing: name the image that the pods run")
    if no_token and not deployment:
        raise ConfigError("--no-token belongs to --deployment")
    if kserve and not verifier_image:
        raise ConfigError("--verifier-image is missing: name the image of gtrans for KServe's pods")
    named = [named_alias(text) for text in models]
    if deployment and any(alias != CHAMPION for _, alias in named):
        raise ConfigError("gtrans serve serves champions only; leave the alias out")
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.registry.versions import version_now

    profile = load_profile(profile_name, store=store)
    client = connect_existing(profile.tracking_uri)
    found = {category: version_now(client, alias_uri(category, alias)) for category, alias in named}
    if deployment:
        from gtrans.serving.manifests import ServiceAsked
        from gtrans.serving.manifests import deployment as rendered

        asked = ServiceAsked(tuple(found), image, profile.tracking_uri, profile.trust)
        text = rendered(replace(asked, token_secret="") if no_token else asked)  # nosec B106  # none
    elif kserve:
        from gtrans_core.tracking.promotion.approval import require_approved

        for category, alias in named:
            if alias == CHAMPION:
                require_approved(client, found[category], profile.trust)
        from gtrans.serving.manifests import InferenceAsked, inference_service

        services = [
            inference_service(
                InferenceAsked(
                    category, model, image, verifier_image, profile.tracking_uri, profile.trust
                )
            )
            for category, model in found.items()
        ]
        text = "---\n".join(services)
    else:
        text = _as_json(list(found.values())) if as_json else _as_text(list(found.values()))
    typer.echo(text, nl=not text.endswith("\n"))


def _as_json(models: Sequence[ModelVersion]) -> str:
    import json
    from dataclasses import asdict

    return json.dumps([{"uri": model.uri, **asdict(model)} for model in models], indent=1)


def _as_text(models: Sequence[ModelVersion]) -> str:
    blocks = [
        f"model    {printable(model.name)}\n"
        f"version  {model.version}\n"
        f"uri      {printable(model.uri)}\n"
        f"digest   {printable(model.digest) or 'not recorded'}\n"
        f"source   {printable(model.source)}"
        for model in models
    ]
    return "\n\n".join(blocks)

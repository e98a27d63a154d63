"""``gtrans export``: a registered model as files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gtrans.cli.shared.completion import category_aliases
from gtrans.cli.shared.options import ProfileName, Store
from gtrans.cli.shared.version_names import named_alias
from gtrans_core.storage.scratch import scratch_folder


def export(
    model: Annotated[
        str,
        typer.Argument(
            metavar="CATEGORY[@ALIAS]", help="Alias: champion.", autocompletion=category_aliases
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="NEW-DIR", help="Folder to make and fill.")],
    profile_name: ProfileName = "local",
    store: Store = None,
) -> None:
    """Write a model as ONNX, with its preprocessing, threshold and an example that runs alone.

    With the extra openvino, also as OpenVINO's files. Everything written is run once
    and must give the model's scores.
    """
    from gtrans.pipelines.profiles import load_profile
    from gtrans_core.detector.detector import Detector
    from gtrans_core.detector.export import EXTRA, OPENVINO_NAME, export_detector
    from gtrans_core.detector.model_name import alias_uri
    from gtrans_core.tracking.client import connect_existing
    from gtrans_core.tracking.registry.registry import fetch_model
    from gtrans_core.tracking.registry.versions import version_now

    uri = alias_uri(*named_alias(model))
    profile = load_profile(profile_name, store=store)
    client = connect_existing(profile.tracking_uri)
    version = version_now(client, uri)
    with scratch_folder() as scratch:
        folder = fetch_model(client, version.uri, Path(scratch), profile.trust)
        detector = Detector.load(folder)
        written = export_detector(
            detector, to, model=version.name, version=version.version, digest=version.digest
        )
    typer.echo(f"{version.name} version {version.version}: {to}")
    for name in written.files:
        difference = written.differences.get(name)
        checked = "" if difference is None else f"  scores within {difference:.1e} of the model's"
        typer.echo(f"  {name}{checked}")
    if OPENVINO_NAME not in written.files:
        typer.echo(f"no OpenVINO files: pip install 'gtrans[{EXTRA}]' first, if you want them")
